package config

// storeKeys say where metadata and records live.
var storeKeys = []Key{
	{Name: "metastore.url", Kind: metastoreURL, Required: true,
		Doc: "Where metadata lives: `postgres://user:password@host/db`, `file:///directory` (one process, durable) or `memory://` (nothing survives). Required. " +
			"pgbouncer may stand in front of PostgreSQL, in transaction mode too; `runnel migrate` needs the database itself.",
		set: func(c *Config, v value) { c.Metastore.URL = v.text }},
	{Name: "metastore.password", Kind: text, Secret: true,
		Doc: "Password of the user of metastore.url, which has none then.",
		set: func(c *Config, v value) { c.Metastore.Password = v.text }},
	{Name: "metastore.auth", Kind: words{AuthPassword, AuthAWSIAM}, Default: AuthPassword,
		Doc: "How to log in to PostgreSQL. `aws_iam`, on Amazon RDS and Aurora: with a token of IAM as the password, made anew for each connection from the credentials that the AWS SDK finds in the environment (task or instance role). " +
			"metastore.url then has the database's own host name, a user with the role rds_iam, no password, and `sslmode=verify-full` or at least `require`.",
		set: func(c *Config, v value) { c.Metastore.Auth = v.text }},
	{Name: "metastore.authorities", Kind: certificates,
		Doc: "Certificates, as text, of the authorities that sign the database's, such as those of Amazon RDS for the region; for metastore.url with `sslmode=verify-full`, where no file can be mounted for its `sslrootcert`. Unset: those of sslrootcert, or else of the system, among which Amazon RDS's are not.",
		set: func(c *Config, v value) { c.Metastore.Authorities = v.text }},
	{Name: "migrate", Kind: words{"never", "auto"}, Default: "never", Bare: "auto",
		Doc: "Whether a broker brings the metastore's database to what its version needs, as `runnel migrate` does, if it finds it older: auto, which a flag without a value means. " +
			"Any number may start at once: one does the work, the others wait. With never it waits, too, and says so at /readyz.",
		set: func(c *Config, v value) { c.Migrate = v.text == "auto" }},
	{Name: "object_store.url", Kind: objectStoreURL, Required: true,
		Doc: "Where records live: `s3://bucket/prefix`, `file:///directory` or `memory://` (nothing survives). Required.",
		set: func(c *Config, v value) { c.ObjectStore.URL = v.text }},
	{Name: "object_store.endpoint", Kind: endpointURL,
		Doc: "URL of an S3 server other than AWS's, such as `http://minio:9000`.",
		set: func(c *Config, v value) { c.ObjectStore.Endpoint = v.text }},
	{Name: "object_store.region", Kind: text,
		Doc: "Region of the bucket. Unset: what the AWS SDK finds in the environment; us-east-1 with an endpoint.",
		set: func(c *Config, v value) { c.ObjectStore.Region = v.text }},
	{Name: "object_store.path_style", Kind: triState, Default: "auto",
		Doc: "Whether the bucket stands in the path of requests and not in the host name. auto: if an endpoint is set.",
		set: func(c *Config, v value) { c.ObjectStore.PathStyle = v.text == "true" }},
	{Name: "object_store.access_key", Kind: text,
		Doc: "Access key id. Unset: credentials come from the AWS SDK's chain (environment, profile, instance or task role).",
		set: func(c *Config, v value) { c.ObjectStore.AccessKey = v.text }},
	{Name: "object_store.secret_key", Kind: text, Secret: true,
		Doc: "Secret of the access key. Flags are visible to every user of the machine: use the file or the environment.",
		set: func(c *Config, v value) { c.ObjectStore.SecretKey = v.text }},
}
