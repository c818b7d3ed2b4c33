// Package chaos runs a load of real clients against real broker processes, a PostgreSQL server with a synchronous standby
// and an S3 server, breaks all of them as machines and networks do, and judges what the clients saw.
//
//	make chaos MINUTES=10 [SEED=n]
//
// What is broken, and when, follows from the seed; how the processes meet it does not.
package chaos
