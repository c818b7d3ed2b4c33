package config

// Access is what clients may do.
type Access struct {
	Authorizer  string // off, on or shadow
	ShadowRules string // file; "": none
}

var accessKeys = []Key{
	{Name: "authorizer", Kind: words{"off", "on", "shadow"}, Default: "off",
		Doc: "What access rules (ACLs) do. on: they decide as Kafka's StandardAuthorizer, with `super.users` and `allow.everyone.if.no.acl.found` of the cluster settings; who is not authenticated is `User:ANONYMOUS`. shadow: rules can be made, everything is allowed, and what they would deny is logged, at most 100 lines a minute, and counted in runnel_acl_shadow_denials_total. off: everything is allowed, and rules cannot be made. Should be the same on all brokers.",
		set: func(c *Config, v value) { c.Access.Authorizer = v.text }},
	{Name: "authorizer_shadow_rules", Kind: text,
		Doc: "File with rules to try beside those in force, one a line, as `runnel acl list --format rules` prints them. What they would deny and is allowed is logged and counted as with `authorizer: shadow`. A changed file is read within seconds; if it cannot be read, the rules before stay.",
		set: func(c *Config, v value) { c.Access.ShadowRules = v.text }},
}
