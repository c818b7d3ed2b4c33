// Package fuzztest sends hostile bytes to a whole broker, through connections as clients have them.
//
// What it sends are right requests of every API key and version that the broker says it serves, with something wrong:
// fields that make no sense, batches damaged under a right checksum, frames cut, enlarged, spliced and flipped. A script,
// a few bytes, decides on all of it, so that Go's fuzzer can look for scripts that reach new code, and a random one is
// repeated by its bytes. After each the broker has to be as it was for everybody else.
package fuzztest
