package config

import (
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"
)

// fileSuffix makes of the name of a secret key that of the key whose value is a file with the secret.
const fileSuffix = "_file"

// withFiles puts behind every secret key the one that names a file with its value.
func withFiles(table []Key) []Key {
	var all []Key
	for _, k := range table {
		all = append(all, k)
		if k.Secret {
			all = append(all, Key{
				Name: k.Name + fileSuffix, Kind: text,
				Doc: "File with the value of " + k.Name + ", without the last line break. It is read " + readWhen(k.Name) + ".",
				set: func(c *Config, v value) {
					if k.Name == metastorePassword {
						c.Metastore.PasswordFile = v.text
					}
				},
			})
		}
	}
	return all
}

// metastorePassword is the secret that may change while a broker runs.
const metastorePassword = "metastore.password"

func readWhen(secret string) string {
	if secret == metastorePassword {
		return "when the broker starts and again for each new connection, so that it may be replaced by another password"
	}
	return "once"
}

// mostSecret bounds the file of a secret.
const mostSecret = 64 << 10

// readSecrets takes the values of secret keys from the files that are named for them.
func (l *loader) readSecrets() {
	for _, k := range keys {
		if !k.Secret {
			continue
		}
		name := k.Name + fileSuffix
		from := l.keys[name]
		if from.text == "" {
			continue
		}
		if l.keys[k.Name].text != "" {
			l.problem(from.origin, "%s and %s are two ways to give one secret; set one of them", k.Name, name)
			continue
		}
		secret, err := ReadSecret(from.text)
		if err != nil {
			l.problem(from.origin, "%s: %v", name, err)
			continue
		}
		l.keys[k.Name] = setting{text: secret, origin: from.origin}
	}
}

// ReadSecret returns what is in the file of a secret.
func ReadSecret(name string) (string, error) {
	file, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, mostSecret+1))
	if err != nil {
		return "", err
	}
	secret := strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r")
	switch {
	case len(data) > mostSecret:
		return "", fmt.Errorf("%s has more than %d bytes", name, mostSecret)
	case secret == "":
		return "", fmt.Errorf("%s is empty", name)
	}
	return secret, nil
}

var (
	errTwoPasswords = errors.New("metastore.url has a password of its own; set one of them")
	errNoDatabase   = errors.New("only a metastore.url of PostgreSQL takes a password")
)

// withPassword returns a URL of PostgreSQL with the password in it.
func withPassword(address, password string) (string, error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" {
		return "", errNoDatabase
	}
	query := u.Query()
	if _, ok := u.User.Password(); ok || query.Has("password") {
		return "", errTwoPasswords
	}
	if user := u.User.Username(); user != "" {
		u.User = url.UserPassword(user, password)
		return u.String(), nil
	}
	query.Set("password", password) // the user is what the environment says
	u.RawQuery = query.Encode()
	return u.String(), nil
}
