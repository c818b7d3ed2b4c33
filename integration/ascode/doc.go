// Package ascode has topics, access rules, quotas and users as code: the real Terraform with the provider Mongey/kafka, on
// brokers with TLS, SASL and rules. What was applied is there, a second plan is empty, and nothing is ever made anew that
// could have been changed.
package ascode
