// Package module runs the tests of the module for testcontainers-go, which need an engine and the broker's image.
package module
