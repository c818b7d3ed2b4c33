// Package servers starts the real servers that the suites run against, PostgreSQL and an S3 server, on free loopback
// ports with data in temporary directories, and stops them by pid.
package servers
