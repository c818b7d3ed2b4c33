package differential

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/runnel-io/runnel/broker/acl"
	"github.com/runnel-io/runnel/integration/harness"
	"github.com/runnel-io/runnel/integration/toolchain"
)

const (
	authorizerWorlds    = 2000 // sets of rules
	authorizerQuestions = 40   // to each
)

// TestDecidesAsKafkasAuthorizer asks Kafka's StandardAuthorizer, in a JVM, what it asks ours: whether something is allowed,
// on a resource and on any, which rules filters pick, and which rules may be made. The names are few, so that rules meet.
func TestDecidesAsKafkasAuthorizer(t *testing.T) {
	t.Parallel()
	tools, err := toolchain.Default(os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	classes, err := tools.JavaClasses(t.Context(), "../compat/clients/java/pom.xml", "java/Authorizer.java")
	if err != nil {
		harness.Missing(t, "Apache Kafka, the reference,", err)
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	asked := authorizerScript{random: rand.New(rand.NewPCG(seed, 0))}
	for range authorizerWorlds {
		asked.world()
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	java := exec.CommandContext(ctx, "java", "-Xmx512m", "-Dorg.slf4j.simpleLogger.defaultLogLevel=error", "-cp", classes, "Authorizer")
	var complaints bytes.Buffer
	java.Stdin, java.Stderr = &asked.lines, &complaints
	out, err := java.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, complaints.String())
	}
	answers := bufio.NewScanner(bytes.NewReader(out))
	differ, yes := 0, 0
	for _, q := range asked.questions {
		if !answers.Scan() {
			t.Fatalf("no answer to %s", q.text)
		}
		if strings.HasPrefix(q.ours, "1") {
			yes++
		}
		if kafka := answers.Text(); kafka != q.ours && differ < 10 {
			differ++
			t.Errorf("%s: ours %s, Kafka's %s, with\n%s", q.text, q.ours, kafka, q.world)
		}
	}
	if answers.Scan() {
		t.Errorf("an answer too many: %s", answers.Text())
	}
	t.Logf("%d questions, %d of them answered with yes", len(asked.questions), yes)
	if yes < len(asked.questions)/10 || yes > len(asked.questions)*9/10 {
		t.Error("nearly all answers are the same: the questions compare little")
	}
}

// authorizerScript is what both are asked.
type authorizerScript struct {
	random    *rand.Rand
	lines     bytes.Buffer // for Kafka's
	questions []authorizerQuestion
}

type authorizerQuestion struct{ text, ours, world string }

func (s *authorizerScript) pick(words ...string) string { return words[s.random.IntN(len(words))] }

func pickOne[T any](s *authorizerScript, of ...T) T { return of[s.random.IntN(len(of))] }

func (s *authorizerScript) name() string {
	return s.pick("*", "a", "aa", "ab", "aba", "abab", "ac", "b", "ba", "h", "hard", "hardcode", "hardcodes", "ä", "a~", "a😀", "a😀b", "User:a")
}

func (s *authorizerScript) rule() acl.Rule {
	return acl.Rule{
		Type: pickOne(s, acl.Topic, acl.Topic, acl.Group), Pattern: pickOne(s, acl.Literal, acl.Prefixed), Name: s.name(),
		Principal: s.pick("User:a", "User:a", "User:b", "User:*", "Service:a", "User:a:b", "Service:*"), Host: s.pick("*", "*", "1.1.1.1", "0:0:0:0:0:0:0:1"),
		Operation:  pickOne(s, acl.All, acl.Read, acl.Write, acl.Create, acl.Delete, acl.Alter, acl.Describe, acl.DescribeConfigs, acl.AlterConfigs),
		Permission: pickOne(s, acl.Deny, acl.Allow, acl.Allow),
	}
}

func fields(kind string, r acl.Rule) string {
	return fmt.Sprintf("%s\t%d\t%d\t%s\t%s\t%s\t%d\t%d", kind, r.Type, r.Pattern, r.Name, r.Principal, r.Host, r.Operation, r.Permission)
}

// world makes a set of rules and asks about it.
func (s *authorizerScript) world() {
	policy := acl.Policy{Everybody: s.random.IntN(3) == 0}
	if s.random.IntN(10) == 0 {
		policy.SuperUsers = []string{"User:b"}
	}
	var rules []acl.Rule
	var world strings.Builder
	fmt.Fprintf(&world, "policy\t%s\t%t\n", strings.Join(policy.SuperUsers, ";"), policy.Everybody)
	for range s.random.IntN(14) {
		if r := s.rule(); !slices.Contains(rules, r) {
			rules = append(rules, r)
			world.WriteString(fields("rule", r) + "\n")
		}
	}
	world.WriteString("load\n")
	s.lines.WriteString(world.String())
	ask := func(text, ours string) {
		s.lines.WriteString(text + "\n")
		s.questions = append(s.questions, authorizerQuestion{text, ours, world.String()})
	}
	x := acl.New(slices.Clone(rules), policy)
	for range authorizerQuestions {
		who := acl.Client{Principal: s.pick("User:a", "User:b", "User:c", "Service:a", "User:a:b"), Host: s.pick("1.1.1.1", "2.2.2.2", "::1")}
		op := pickOne(s, acl.Read, acl.Write, acl.Create, acl.Delete, acl.Alter, acl.Describe, acl.DescribeConfigs, acl.AlterConfigs)
		on := acl.Resource{Type: pickOne(s, acl.Topic, acl.Group), Name: s.name()}
		ask(fmt.Sprintf("ask\t%s\t%s\t%d\t%d\t%s", who.Principal, who.Host, op, on.Type, on.Name),
			bit(x.Allowed(who, op, on))+bit(x.AllowedOnAny(who, op, on.Type)))
	}
	for range 5 {
		ask(s.filter(rules))
		r := s.spoilt()
		ask(fields("valid", r), bit(r.Validate() == nil))
	}
}

// filter returns one, and the rules that ours picks.
func (s *authorizerScript) filter(rules []acl.Rule) (text, ours string) {
	orNil := func(name string) (string, *string) {
		if s.random.IntN(3) > 0 {
			return "~", nil
		}
		return name, &name
	}
	f := acl.Filter{
		Type: pickOne(s, acl.AnyType, acl.Topic, acl.Group, acl.User), Pattern: pickOne(s, acl.AnyPattern, acl.Match, acl.Literal, acl.Prefixed),
		Operation: pickOne(s, acl.AnyOperation, acl.AnyOperation, acl.Read, acl.All), Permission: pickOne(s, acl.AnyPermission, acl.Allow, acl.Deny),
	}
	var name, principal, host string
	name, f.Name = orNil(s.name())
	principal, f.Principal = orNil(s.pick("User:a", "User:*"))
	host, f.Host = orNil(s.pick("*", "1.1.1.1"))
	picked := []string{}
	for i, r := range rules {
		if f.Picks(r) {
			picked = append(picked, fmt.Sprint(i))
		}
	}
	return fmt.Sprintf("filter\t%d\t%d\t%s\t%s\t%s\t%d\t%d", f.Type, f.Pattern, name, principal, host, f.Operation, f.Permission),
		"[" + strings.Join(picked, ", ") + "]"
}

// spoilt is a rule that may be wrong. Names of clusters are judged elsewhere in Kafka, and hosts nowhere.
func (s *authorizerScript) spoilt() acl.Rule {
	r := s.rule()
	switch s.random.IntN(8) {
	case 0:
		r.Type = acl.ResourceType(s.random.IntN(10))
		if r.Type == acl.Cluster {
			r.Name = acl.ClusterName
		}
	case 1:
		r.Pattern = acl.Pattern(s.random.IntN(7))
	case 2:
		r.Operation = acl.Operation(s.random.IntN(18))
	case 3:
		r.Permission = acl.Permission(s.random.IntN(6))
	case 4:
		r.Principal = s.pick("", "a", ":", ":a", "a:", "User")
	case 5:
		r.Name = ""
	}
	return r
}

func bit(b bool) string {
	if b {
		return "1"
	}
	return "0"
}
