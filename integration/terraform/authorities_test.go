package terraform

import (
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestAuthorities: what brokers verify RDS by are roots, of the region that the file is named after, one for each kind of key
// that RDS signs with (ca_cert_identifier), and last longer than anybody plans.
func TestAuthorities(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join(modules, "modules/postgres/authorities/*.pem"))
	if err != nil || len(files) < 27 {
		t.Fatalf("authorities of %d regions: %v", len(files), err)
	}
	for _, file := range files {
		region := strings.TrimSuffix(filepath.Base(file), ".pem")
		rest, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		kinds := map[string]bool{"RSA2048": true, "RSA4096": true, "ECC384": true}
		for block, rest := pem.Decode(rest); block != nil; block, rest = pem.Decode(rest) {
			c, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				t.Fatalf("%s: %v", region, err)
			}
			kind, ok := strings.CutPrefix(c.Subject.CommonName, "Amazon RDS "+region+" Root CA ")
			kind, g1 := strings.CutSuffix(kind, " G1")
			if !ok || !g1 || !kinds[kind] {
				t.Errorf("%s has %q, or has it twice", region, c.Subject.CommonName)
			}
			delete(kinds, kind)
			if !c.IsCA || c.CheckSignatureFrom(c) != nil || c.NotAfter.Before(time.Date(2060, 1, 1, 0, 0, 0, 0, time.UTC)) {
				t.Errorf("%s: %s is no root that lasts", region, c.Subject.CommonName)
			}
		}
		if len(kinds) > 0 {
			t.Errorf("%s lacks %v", region, kinds)
		}
	}
}
