package main

import (
	"bufio"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/oauth"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
	"golang.org/x/term"
)

// login is how client commands come in: by TLS, and as whom.
type login struct {
	mechanism    string // of SASL; "": what goes with the rest
	user         string
	passwordFile string
	tokenFile    string

	tls         bool
	authority   string // files
	certificate string
	key         string

	password string // that was asked for at the terminal
}

var saslMechanisms = []string{"SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN", "OAUTHBEARER"}

// loginFlags gives a command, and those below it, the flags of a login.
func loginFlags(env *environment, cmd *cobra.Command) {
	flags, l := cmd.PersistentFlags(), &env.login
	flags.StringVar(&l.user, "user", env.getenv("RUNNEL_USER"), "`name` to log in with, by SASL (RUNNEL_USER)")
	flags.StringVar(&l.passwordFile, "password-file", env.getenv("RUNNEL_PASSWORD_FILE"),
		"`file` with the password to log in with (RUNNEL_PASSWORD_FILE); else the password is that in RUNNEL_PASSWORD, or asked for")
	flags.StringVar(&l.tokenFile, "token-file", env.getenv("RUNNEL_TOKEN_FILE"), "`file` with a token of an identity provider to log in with; read for each login (RUNNEL_TOKEN_FILE)")
	flags.StringVar(&l.mechanism, "sasl-mechanism", env.getenv("RUNNEL_SASL_MECHANISM"),
		"`mechanism` to log in by: "+strings.Join(saslMechanisms, ", ")+" (RUNNEL_SASL_MECHANISM); SCRAM-SHA-512 or OAUTHBEARER if unset")
	flags.BoolVar(&l.tls, "tls", isSet(env.getenv("RUNNEL_CLIENT_TLS")), "connect with TLS (RUNNEL_CLIENT_TLS); so does every other --tls flag")
	flags.StringVar(&l.authority, "tls-ca", env.getenv("RUNNEL_CLIENT_TLS_CA"), "`file` with the authorities that sign brokers' certificates, PEM (RUNNEL_CLIENT_TLS_CA); the system's if unset")
	flags.StringVar(&l.certificate, "tls-certificate", env.getenv("RUNNEL_CLIENT_TLS_CERTIFICATE"), "`file` with a certificate of this client, PEM (RUNNEL_CLIENT_TLS_CERTIFICATE)")
	flags.StringVar(&l.key, "tls-key", env.getenv("RUNNEL_CLIENT_TLS_KEY"), "`file` with the key of --tls-certificate, PEM (RUNNEL_CLIENT_TLS_KEY)")
	completeWords(cmd, "sasl-mechanism", saslMechanisms...)
	for _, name := range []string{"password-file", "token-file", "tls-ca", "tls-certificate", "tls-key"} {
		completeFiles(cmd, name)
	}
}

// isSet reads a variable that switches something on.
func isSet(text string) bool { return text != "" && text != "0" && !strings.EqualFold(text, "false") }

// options are what a client needs for the login.
func (l *login) options(env *environment) ([]kgo.Opt, error) {
	var opts []kgo.Opt
	secured, err := l.tlsConfig()
	if err != nil {
		return nil, err
	}
	if secured != nil {
		opts = append(opts, kgo.DialTLSConfig(secured))
	}
	mechanism, err := l.sasl(env)
	if err != nil {
		return nil, err
	}
	if mechanism != nil {
		opts = append(opts, kgo.SASL(mechanism))
	}
	return opts, nil
}

func (l *login) tlsConfig() (*tls.Config, error) {
	if !l.tls && l.authority == "" && l.certificate == "" && l.key == "" {
		return nil, nil
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if l.authority != "" {
		pem, err := os.ReadFile(l.authority)
		if err != nil {
			return nil, usagef("--tls-ca: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, usagef("--tls-ca: no certificate in %s", l.authority)
		}
	}
	if (l.certificate == "") != (l.key == "") {
		return nil, usagef("--tls-certificate and --tls-key go together")
	}
	if l.certificate != "" {
		pair, err := tls.LoadX509KeyPair(l.certificate, l.key)
		if err != nil {
			return nil, usagef("--tls-certificate: %w", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

// sasl is nil if nobody is to log in.
func (l *login) sasl(env *environment) (sasl.Mechanism, error) {
	usual := ""
	switch {
	case l.user != "" && l.tokenFile != "":
		return nil, usagef("--user and --token-file are two ways to log in; use one of them")
	case l.user != "":
		usual = "SCRAM-SHA-512"
	case l.tokenFile != "":
		usual = "OAUTHBEARER"
	}
	name := strings.ToUpper(cmp.Or(l.mechanism, usual))
	switch name {
	case "":
		return nil, nil
	case "OAUTHBEARER":
		if l.tokenFile == "" {
			return nil, usagef("--sasl-mechanism OAUTHBEARER needs --token-file")
		}
		return oauth.Oauth(func(context.Context) (oauth.Auth, error) {
			token, err := readSecret(l.tokenFile)
			return oauth.Auth{Token: token}, err
		}), nil
	case "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512":
	default:
		return nil, usagef("--sasl-mechanism must be %s", strings.Join(saslMechanisms, ", "))
	}
	if l.user == "" {
		return nil, usagef("--sasl-mechanism %s needs --user", name)
	}
	password, err := l.secret(env)
	if err != nil {
		return nil, err
	}
	switch name {
	case "PLAIN":
		return plain.Auth{User: l.user, Pass: password}.AsMechanism(), nil
	case "SCRAM-SHA-256":
		return scram.Auth{User: l.user, Pass: password}.AsSha256Mechanism(), nil
	default:
		return scram.Auth{User: l.user, Pass: password}.AsSha512Mechanism(), nil
	}
}

// secret is the password to log in with. At a terminal it is asked for once.
func (l *login) secret(env *environment) (string, error) {
	if l.password != "" {
		return l.password, nil
	}
	password, err := secretFrom(env, l.passwordFile, "RUNNEL_PASSWORD", "Password of "+l.user, "--password-file")
	l.password = password
	return password, err
}

// secretFrom takes a secret from a file, a variable or a terminal, in this order.
func secretFrom(env *environment, file, variable, prompt, flag string) (string, error) {
	var secret string
	var err error
	switch terminal, isFile := env.in.(*os.File); {
	case file != "":
		if secret, err = readSecret(file); err != nil {
			return "", usagef("%s: %w", flag, err)
		}
	case env.getenv(variable) != "":
		secret = env.getenv(variable)
	case isFile && isTerminal(env.in):
		fmt.Fprintf(env.err, "%s: ", prompt)
		typed, err := term.ReadPassword(int(terminal.Fd()))
		fmt.Fprintln(env.err)
		if err != nil {
			return "", fmt.Errorf("read password: %w", err)
		}
		secret = string(typed)
	default:
		return "", usagef("no password: name a file with %s, or set %s", flag, variable)
	}
	if secret == "" {
		return "", usagef("the password must not be empty")
	}
	return secret, nil
}

// readSecret reads the first line of a file, which may be the only one.
func readSecret(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	const most = 1 << 20
	line, err := bufio.NewReader(io.LimitReader(f, most)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	return strings.TrimRight(line, "\r\n"), nil
}

// loginFailed is the error of a broker that answered and did not let the client in, nil if it is another.
func loginFailed(err error) error {
	for _, refusal := range []error{kerr.SaslAuthenticationFailed, kerr.UnsupportedSaslMechanism, kerr.IllegalSaslState} {
		if errors.Is(err, refusal) {
			return withDetail("log in", err, "")
		}
	}
	return nil
}
