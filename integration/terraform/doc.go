// Package terraform tests the modules in the repository's directory terraform: that they are formatted, valid and clean
// to a linter, that their own tests pass, and that each example can be planned, applied, planned again without a change, and
// destroyed without a trace, against a mock of AWS. What was applied is searched for what must not be there: rules that
// expire records, policies and security groups that are open, secrets in the state.
//
// It needs terraform, a directory that holds the provider hashicorp/aws as a filesystem mirror does, and Python with
// moto; no network, and no account.
package terraform
