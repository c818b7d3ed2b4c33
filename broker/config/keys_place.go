package config

// placeKeys say who a broker is, and where it and its clients are.
var placeKeys = []Key{
	{Name: "node_id", Kind: nodeID,
		Doc: "Kafka node id. Unset: the lowest id that no live broker holds is leased from the metastore.",
		set: func(c *Config, v value) { c.NodeID = int32(v.number) }},
	{Name: "zone", Kind: zoneName,
		Doc: "Availability zone of this broker, as clients name theirs: in client.rack, or as `zone=NAME` in their client.id, which takes printable ASCII without commas, semicolons, ampersands and spaces. Brokers of one zone that reach each other (peer.secret) read new records from the object store on behalf of each other; those without a zone count as in one. `auto` asks the platform when the broker starts, for the zone's name: the metadata of an ECS task, the labels of a Kubernetes node, or the metadata of an EC2 instance, whichever there is; `auto:ecs`, `auto:kubernetes` and `auto:ec2` ask that one. In Kubernetes the service account needs leave to get nodes, and the environment NODE_NAME, and POD_IP for advertise, or the account leave to get pods.",
		set: func(c *Config, v value) { c.Zone = v.text }},
	{Name: "client.subnets", Kind: subnets,
		Doc: "Zones of clients that do not name theirs in client.id, by their address: `10.0.1.0/24=a, 10.0.2.0/24=b, fd00::/64=b`. The longest prefix counts. Should be the same on all brokers: sizes that tools add up over brokers are right only then.",
		set: func(c *Config, v value) { c.Client.Subnets = v.subnets }},
	{Name: "client.zone", Kind: zoneName,
		Doc: "Zone of the clients of this broker of which nothing else tells it, or `auto` as for zone. For brokers that only clients of their own zone reach first, such as behind a load balancer for each zone. Unset: unknown, and brokers of all zones are named to them as leaders.",
		set: func(c *Config, v value) { c.Client.Zone = v.text }},
}
