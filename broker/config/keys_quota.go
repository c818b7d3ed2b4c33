package config

// Quota says whose clients' quotas are.
type Quota struct {
	Scope string // broker or cluster
}

var quotaKeys = []Key{
	{Name: "quota.scope", Kind: words{"broker", "cluster"}, Default: "broker",
		Doc: "Whether a client may take its quota of each broker, as in Kafka, or of all brokers together. With cluster, brokers tell each other once a second what each client would take of them (peer.secret), and each grants the part that its own demand has, at least a tenth of an equal part; brokers that do not answer for three seconds are left out. Should be the same on all brokers.",
		set: func(c *Config, v value) { c.Quota.Scope = v.text }},
}
