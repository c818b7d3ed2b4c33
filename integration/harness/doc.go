// Package harness runs the real runnel binary for tests: embedded or distributed, on free ports that stay the same
// over restarts, with its log in the test's output if the test fails. Nothing is left running after a test.
package harness
