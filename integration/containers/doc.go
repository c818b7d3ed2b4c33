// Package containers holds the tests that need a container engine: of the image, of compose.yaml, and of the stores on
// servers in containers. They use the engine that answers, or start one (package engine); images of PostgreSQL and of the S3
// server are made from what the other tests run, with the interface of the public images, which are named in compose.yaml:
// no registry is asked. Where there is no engine they are skipped, and say why; with CI=true in the environment they fail.
package containers
