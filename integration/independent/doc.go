// Package independent looks at the bucket with a client that shares no code with the broker's: minio-go, where the broker
// has the AWS SDK. What one writes the other has to read, byte for byte, and neither replaces what the other made.
package independent
