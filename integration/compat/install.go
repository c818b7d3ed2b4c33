package compat

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/runnel-io/runnel/integration/toolchain"
)

var (
	// full is what a client with a complete programming interface can express.
	full = Abilities{Timestamps: true, AllNull: true, EmptyKey: true, EmptyValue: true, Binary: true, NullHeader: true}
	// kafkajs refuses to send a header whose value is null, but reads it.
	kafkajs = Abilities{Timestamps: true, AllNull: true, EmptyKey: true, EmptyValue: true, Binary: true}
	// kafka-python does too, and refuses a record without key and value.
	kafkaPython = Abilities{Timestamps: true, EmptyKey: true, EmptyValue: true, Binary: true}
)

// Clients are the installed clients: the same ones as producers and as consumers, in the same order.
type Clients struct {
	Producers []Producer
	Consumers []Consumer
	java      javaTools
	kcat      kcat
	members   map[string][]string // commands of members of groups, by the name of their client
}

// Install fetches the pinned clients into the tool cache, unless they are there. dir is the directory clients/.
func Install(ctx context.Context, tools toolchain.Cache, dir string) (Clients, error) {
	kcat, err := openKcat()
	if err != nil {
		return Clients{}, err
	}
	classes, err := tools.JavaClasses(ctx, filepath.Join(dir, "java/pom.xml"), filepath.Join(dir, "java/Client.java"), filepath.Join(dir, "java/Member.java"))
	if err != nil {
		return Clients{}, fmt.Errorf("set up the Java clients: %w", err)
	}
	java := javaTools{classPath: classes}
	programs := []program{{name: "java", command: java.command("Client"), abilities: full}}
	for name, abilities := range map[string]Abilities{"confluent": full, "kafkapython": kafkaPython} {
		python, err := tools.PythonVenv(ctx, filepath.Join(dir, name, "requirements.txt"))
		if err != nil {
			return Clients{}, fmt.Errorf("set up %s: %w", name, err)
		}
		programs = append(programs, program{
			name: name, command: []string{python, filepath.Join(dir, name, "client.py")}, abilities: abilities,
		})
	}
	modules, err := tools.NodeModules(ctx, filepath.Join(dir, "kafkajs"))
	if err != nil {
		return Clients{}, fmt.Errorf("set up kafkajs: %w", err)
	}
	programs = append(programs, program{
		name: "kafkajs", command: []string{"node", filepath.Join(dir, "kafkajs/client.js")},
		env: []string{"NODE_PATH=" + modules}, abilities: kafkajs,
	})

	c := Clients{java: java, kcat: kcat, members: map[string][]string{"java": java.command("Member")}}
	c.Producers = []Producer{franzGo{}, kcat, console{java}}
	c.Consumers = []Consumer{franzGo{}, kcat, console{java}}
	for _, p := range programs {
		if p.name == "confluent" {
			c.members[p.name] = []string{p.command[0], filepath.Join(dir, p.name, "member.py")}
		}
		c.Producers, c.Consumers = append(c.Producers, p), append(c.Consumers, p)
	}
	return c, nil
}
