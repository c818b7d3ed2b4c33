package s3

// SendsChecksums tells whether bodies are protected by checksums, and not by signatures.
func SendsChecksums(s *Store) bool { return protection(s.protection.Load()) == byChecksum }
