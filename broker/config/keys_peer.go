package config

// peerKeys are about the port on which brokers reach each other.
var peerKeys = []Key{
	{Name: "peer.listen", Kind: optionalAddress, Default: "0.0.0.0:9645",
		Doc: "Address on which other brokers of the cluster are served, if peer.secret or peer.certificate is set. Empty: none.",
		set: func(c *Config, v value) { c.Peer.Listen = v.text }},
	{Name: "peer.advertise", Kind: reachableAddress,
		Doc: "Address that other brokers are told to connect to. Unset: the peer.listen address, with the machine's host name in place of a wildcard. `auto` as for advertise.",
		set: func(c *Config, v value) { c.Peer.Advertise = v.text }},
	{Name: "peer.secret", Kind: secretText{leastPeerSecret}, Secret: true,
		Doc: "Secret that all brokers of the cluster share, of at least 16 random characters, such as `openssl rand -hex 24` prints. It authenticates and encrypts what they say to each other. Without it, or peer.certificate, every broker appends to the commit log on its own, which is slower with many of them, and reads new records from the object store for itself, which costs a GET per block for each. Flags are visible to every user of the machine: use the file or the environment.",
		set: func(c *Config, v value) { c.Peer.Secret = v.text }},
	{Name: "peer.certificate", Kind: text,
		Doc: "File with this broker's certificate for other brokers, in place of a shared secret; PEM. Its names must cover the host of peer.advertise.",
		set: func(c *Config, v value) { c.Peer.Certificate = v.text }},
	{Name: "peer.key", Kind: text,
		Doc: "File with the private key of peer.certificate; PEM.",
		set: func(c *Config, v value) { c.Peer.Key = v.text }},
	{Name: "peer.authority", Kind: text,
		Doc: "File with the certificate of the authority that signs the peer certificates of all brokers, and of nobody else; PEM.",
		set: func(c *Config, v value) { c.Peer.Authority = v.text }},
}
