package image

import (
	"bytes"
	"context"
	"debug/buildinfo"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"unicode"
)

// Notices are the licenses of all that a binary is linked with, as those ask to have them beside it: each text once, below the
// modules that it is of. They are read from the module cache, so that they are those of the very versions.
func Notices(ctx context.Context, binary string) ([]byte, error) {
	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		return nil, fmt.Errorf("read what %s is linked with: %w", binary, err)
	}
	goroot, cache, err := goDirectories(ctx)
	if err != nil {
		return nil, err
	}
	dirs := map[string]string{"Go's standard library, " + info.GoVersion: goroot}
	for _, m := range info.Deps {
		if m.Replace != nil {
			m = m.Replace
		}
		if m.Version != "" && m.Version != "(devel)" { // else it is of this repository
			dirs[m.Path+" "+m.Version] = filepath.Join(cache, escaped(m.Path)+"@"+escaped(m.Version))
		}
	}
	of := make(map[string][]string) // modules, by text
	for _, name := range slices.Sorted(maps.Keys(dirs)) {
		texts, err := licenseTexts(dirs[name])
		if err != nil {
			return nil, fmt.Errorf("license of %s: %w", name, err)
		}
		of[texts] = append(of[texts], name)
	}
	var b bytes.Buffer
	b.WriteString("Runnel is under the Apache License 2.0, which lies beside this file. It is linked with the following.\n")
	for _, texts := range slices.SortedFunc(maps.Keys(of), func(x, y string) int { return strings.Compare(of[x][0], of[y][0]) }) {
		rule := strings.Repeat("=", 80)
		fmt.Fprintf(&b, "\n%s\n%s\n%s\n\n%s", rule, strings.Join(of[texts], "\n"), rule, texts)
	}
	return b.Bytes(), nil
}

func goDirectories(ctx context.Context) (goroot, cache string, err error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOROOT", "GOMODCACHE").Output()
	if err != nil {
		return "", "", fmt.Errorf("ask Go for its directories: %w", err)
	}
	goroot, cache, _ = strings.Cut(strings.TrimSpace(string(out)), "\n")
	return goroot, cache, nil
}

// escaped is a path or version as directories of the module cache are called, where file systems may not know capitals.
func escaped(s string) string {
	var b strings.Builder
	for _, r := range s {
		if unicode.IsUpper(r) {
			b.WriteByte('!')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

// licenseTexts are the licenses and notices in a directory, one behind the other.
func licenseTexts(dir string) (string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for _, e := range entries {
		name := strings.ToUpper(e.Name())
		if e.IsDir() || strings.HasSuffix(name, ".GO") || !strings.HasPrefix(name, "LICEN") && !strings.HasPrefix(name, "COPYING") && !strings.HasPrefix(name, "NOTICE") {
			continue
		}
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return "", err
		}
		b.WriteString(strings.TrimSpace(strings.ReplaceAll(string(text), "\r\n", "\n")) + "\n")
	}
	if b.Len() == 0 {
		return "", fmt.Errorf("none in %s", dir)
	}
	return b.String(), nil
}
