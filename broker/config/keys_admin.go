package config

// adminKeys are about the HTTP server for probes and metrics.
var adminKeys = []Key{
	{Name: "admin.listen", Kind: optionalAddress, Default: "0.0.0.0:9644",
		Doc: "Address of the HTTP server for /livez, /readyz and /metrics. Empty: none. From other machines everybody is told whether the broker lives and is ready; why it is not, and metrics, are for who has the token or a certificate.",
		set: func(c *Config, v value) { c.Admin.Listen = v.text }},
	{Name: "admin.token", Kind: secretText{leastToken}, Secret: true,
		Doc: "Bearer token for metrics (`Authorization: Bearer …`), of at least 16 random characters. Callers on this machine need none.",
		set: func(c *Config, v value) { c.Admin.Token = v.text }},
	{Name: "admin.certificate", Kind: text,
		Doc: "File with the certificate of the admin server, which speaks HTTPS then; PEM. It is looked at as tls.certificate is.",
		set: func(c *Config, v value) { c.Admin.Certificate = v.text }},
	{Name: "admin.key", Kind: text,
		Doc: "File with the private key of admin.certificate; PEM.",
		set: func(c *Config, v value) { c.Admin.Key = v.text }},
	{Name: "admin.client_authority", Kind: text,
		Doc: "File with the authorities whose certificates let somebody see metrics, in place of a token; PEM.",
		set: func(c *Config, v value) { c.Admin.ClientAuthority = v.text }},
	{Name: "admin.open_metrics", Kind: boolean, Default: "false",
		Doc: "Whether everybody who reaches the admin server sees metrics, and why the broker is not ready.",
		set: func(c *Config, v value) { c.Admin.OpenMetrics = v.text == "true" }},
}
