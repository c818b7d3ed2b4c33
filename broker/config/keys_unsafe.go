package config

// unsafeKeys say what may be although it is not safe.
var unsafeKeys = []Key{
	{Name: "allow_unsafe", Kind: list{dangerNames},
		Doc: dangerDoc(),
		set: func(c *Config, v value) { c.AllowUnsafe = v.names }},
}
