package config

// adminKeys are about the HTTP server for probes and metrics.
var adminKeys = []Key{
	{Name: "admin.listen", Kind: optionalAddress, Default: "0.0.0.0:9644",
		Doc: "Address of the HTTP server for /livez, /readyz and /metrics. Empty: none.",
		set: func(c *Config, v value) { c.Admin.Listen = v.text }},
}
