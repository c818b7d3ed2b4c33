// Package runnel holds what concerns the repository as a whole: the test of its layers. The program is cmd/runnel;
// ARCHITECTURE.md leads through the packages.
package runnel
