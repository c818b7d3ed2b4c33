# The rules for the language that are built into tflint, all of them. The ruleset for AWS is a plugin that is downloaded from
# GitHub, so that a check of terraform/ would need the network: it is not used, and types of instances and the like are what
# the provider's own validation and the modules' make of them.
config {
  call_module_type = "local"
}

plugin "terraform" {
  enabled = true
  preset  = "all"
}

# Which file a thing stands in: examples are one file, to be copied.
rule "terraform_standard_module_structure" {
  enabled = false
}
