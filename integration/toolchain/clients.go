package toolchain

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
)

// PythonVenv makes a virtual environment with what a requirements file pins and returns the path of its interpreter.
func (c Cache) PythonVenv(ctx context.Context, requirements string) (string, error) {
	name, err := named("python", requirements)
	if err != nil {
		return "", err
	}
	if requirements, err = filepath.Abs(requirements); err != nil {
		return "", err
	}
	dir, err := c.install(name, func(dir string) error {
		if err := c.run(ctx, dir, nil, "python3", "-m", "venv", "venv"); err != nil {
			return fmt.Errorf("%w (Debian: apt-get install python3-venv)", err)
		}
		return c.run(ctx, dir, []string{"PIP_DISABLE_PIP_VERSION_CHECK=1", "PIP_NO_INPUT=1"}, filepath.Join(dir, "venv/bin/python"),
			"-m", "pip", "install", "--quiet", "--no-cache-dir", "--only-binary", ":all:", "--requirement", requirements)
	})
	return filepath.Join(dir, "venv/bin/python"), err
}

// NodeModules installs what a package.json and the package-lock.json beside it pin, without running the packages'
// scripts, and returns the node_modules directory.
func (c Cache) NodeModules(ctx context.Context, project string) (string, error) {
	files := []string{filepath.Join(project, "package.json"), filepath.Join(project, "package-lock.json")}
	name, err := named("node", files...)
	if err != nil {
		return "", err
	}
	dir, err := c.install(name, func(dir string) error {
		for _, file := range files {
			b, err := os.ReadFile(file)
			if err != nil {
				return err
			}
			if err := os.WriteFile(filepath.Join(dir, filepath.Base(file)), b, 0o644); err != nil {
				return err
			}
		}
		return c.run(ctx, dir, nil, "npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error")
	})
	return filepath.Join(dir, "node_modules"), err
}

// JavaClasses fetches the jars that a pom names, compiles the sources against them if there are any, and returns a
// class path.
func (c Cache) JavaClasses(ctx context.Context, pom string, sources ...string) (string, error) {
	jars, err := c.mavenJars(ctx, pom)
	if err != nil || len(sources) == 0 {
		return jars, err
	}
	name, err := named("java-classes", append([]string{pom}, sources...)...)
	if err != nil {
		return "", err
	}
	for i := range sources {
		if sources[i], err = filepath.Abs(sources[i]); err != nil {
			return "", err
		}
	}
	dir, err := c.install(name, func(dir string) error {
		args := append([]string{"-Xlint:all", "-Werror", "-proc:none", "-cp", jars, "-d", dir}, sources...)
		return c.run(ctx, dir, nil, "javac", args...)
	})
	return dir + ":" + jars, err
}

func (c Cache) mavenJars(ctx context.Context, pom string) (string, error) {
	name, err := named("java-jars", pom)
	if err != nil {
		return "", err
	}
	if pom, err = filepath.Abs(pom); err != nil {
		return "", err
	}
	dir, err := c.install(name, func(dir string) error {
		return c.run(ctx, dir, nil, "mvn", "--batch-mode", "--quiet", "--no-transfer-progress", "--file", pom,
			mavenCopy, "-DoutputDirectory="+filepath.Join(dir, "jars"), "-DincludeScope=runtime")
	})
	return filepath.Join(dir, "jars", "*"), err
}

// mavenCopy is the goal that collects jars, pinned like everything else.
const mavenCopy = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"

// named is the cache's name for something made from files.
func named(kind string, files ...string) (string, error) {
	sum, err := fingerprint(files...)
	return kind + "-" + sum, err
}
