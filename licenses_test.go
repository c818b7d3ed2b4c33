package runnel_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// grants are what licenses say that allow a module to be part of an Apache-2.0 binary without further conditions on it, and
// conditions what others say. White space and case do not count.
var (
	grants = map[string]string{
		"Apache-2.0": "apache license version 2.0, january 2004",
		"BSD":        "redistribution and use in source and binary forms, with or without modification, are permitted provided that",
		"ISC":        "permission to use, copy, modify, and/or distribute this software for any purpose with or without fee is hereby granted",
		"ISC, old":   "permission to use, copy, modify, and distribute this software for any purpose with or without fee is hereby granted",
		"MIT":        "permission is hereby granted, free of charge, to any person obtaining a copy",
		"Unlicense":  "this is free and unencumbered software released into the public domain",
	}
	conditions = []string{
		"gnu general public license", "gnu affero general public license", "gnu lesser general public license", "mozilla public license",
		"server side public license", "business source license", "commons clause", "elastic license", "eclipse public license",
	}
)

// TestEverythingLinkedIsFreeToUse reads the license of each module that is part of the binary, or of what others link into
// their tests.
func TestEverythingLinkedIsFreeToUse(t *testing.T) {
	for name, of := range map[string]struct{ module, pkg string }{
		"the binary": {".", "./cmd/runnel"}, "runneltest": {".", "./runneltest"}, "testcontainers": {"testcontainers/runnel", "."},
	} {
		t.Run(name, func(t *testing.T) { everythingLinkedIsFreeToUse(t, of.module, of.pkg) })
	}
}

func everythingLinkedIsFreeToUse(t *testing.T, module, pkg string) {
	const format = "{{with .Module}}{{if not .Main}}{{.Path}} {{.Dir}}{{end}}{{end}}"
	list := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f", format, pkg)
	list.Dir = module
	var stderr bytes.Buffer
	list.Stderr = &stderr
	out, err := list.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, &stderr)
	}
	modules := strings.Split(strings.TrimSpace(string(out)), "\n")
	slices.Sort(modules)
	modules = slices.Compact(modules)
	if len(modules) < 10 {
		t.Fatalf("found only %d modules: %q", len(modules), modules)
	}
	for _, line := range modules {
		module, dir, _ := strings.Cut(line, " ")
		if why := notFree(licenseTexts(t, dir)); why != "" {
			t.Errorf("%s: %s (%s)", module, why, dir)
		}
	}
}

func TestLicensesWithConditionsAreFound(t *testing.T) {
	for name, texts := range map[string][]string{
		"none":    nil,
		"unknown": {"all rights reserved"},
		"AGPL":    {"GNU AFFERO GENERAL\n   PUBLIC LICENSE\nVersion 3"},
		"two":     {grants["MIT"], "Mozilla Public License Version 2.0"},
	} {
		if notFree(texts) == "" {
			t.Errorf("%s: taken as free", name)
		}
	}
	if why := notFree([]string{"MIT License\n\nPermission is hereby granted, free of\ncharge, to any person obtaining a copy of"}); why != "" {
		t.Errorf("MIT: %s", why)
	}
}

// notFree tells what is wrong with the licenses of a module, "" if nothing is.
func notFree(texts []string) string {
	known := false
	for _, text := range texts {
		text = strings.ToLower(strings.Join(strings.Fields(text), " "))
		for _, c := range conditions {
			if strings.Contains(text, c) {
				return "it has the " + c
			}
		}
		for _, g := range grants {
			known = known || strings.Contains(text, g)
		}
	}
	if !known {
		return "no license that is known"
	}
	return ""
}

// licenseTexts are the files in a module's top directory that are named as licenses.
func licenseTexts(t *testing.T, dir string) (texts []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		name := strings.ToUpper(e.Name())
		if e.IsDir() || !strings.HasPrefix(name, "LICEN") && !strings.HasPrefix(name, "COPYING") {
			continue
		}
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, string(text))
	}
	return texts
}
