package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func newQuota(env *environment) *cobra.Command {
	return clientFlags(env, parent("quota", "List, set and delete quotas of users, client ids and addresses", newQuotaList(env), newQuotaSet(env), newQuotaDelete(env)))
}

// quotaNames are the flags that name whose quotas a command is about.
type quotaNames struct {
	cmd    *cobra.Command
	values [3]string
}

// quotaTypes are Kafka's types of entities, and quotaFlags name them: --user is who logs in.
var (
	quotaTypes = [3]string{"user", "client-id", "ip"}
	quotaFlags = [3]string{"for-user", "client-id", "ip"}
)

// defaultEntity stands for the default of all in a flag.
const defaultEntity = "<default>"

func (q *quotaNames) flags(cmd *cobra.Command) {
	q.cmd = cmd
	for i, kind := range quotaTypes {
		cmd.Flags().StringVar(&q.values[i], quotaFlags[i], "", "`name` of the "+map[string]string{"user": "user", "client-id": "client id", "ip": "address"}[kind]+
			", or "+defaultEntity+" for all that have none of their own")
	}
}

// entity is what the flags name; empty if there are none.
func (q *quotaNames) entity() (kadm.ClientQuotaEntity, error) {
	var e kadm.ClientQuotaEntity
	for i, kind := range quotaTypes {
		if !q.cmd.Flags().Changed(quotaFlags[i]) {
			continue
		}
		part := kadm.ClientQuotaEntityComponent{Type: kind}
		switch q.values[i] {
		case "":
			return nil, usagef("--%s is empty", quotaFlags[i])
		case defaultEntity:
		default:
			part.Name = &q.values[i]
		}
		e = append(e, part)
	}
	if q.cmd.Flags().Changed("ip") && len(e) > 1 {
		return nil, usagef("--ip goes with neither --for-user nor --client-id")
	}
	return e, nil
}

func (q *quotaNames) needed() (kadm.ClientQuotaEntity, error) {
	e, err := q.entity()
	if err == nil && len(e) == 0 {
		err = usagef("whose quota? name it by --for-user, --client-id, both, or --ip")
	}
	return e, err
}

type quotaJSON struct {
	User     *string            `json:"user,omitempty"` // "<default>" is that of all
	ClientID *string            `json:"client_id,omitempty"`
	IP       *string            `json:"ip,omitempty"`
	Quotas   map[string]float64 `json:"quotas"`
}

func newQuotaList(env *environment) *cobra.Command {
	var names quotaNames
	cmd := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List quotas: all, or those of what flags name and of what has it as a part",
		Args:    args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			entity, err := names.entity()
			if err != nil {
				return err
			}
			admin, err := connectAdmin(cmd.Context(), env)
			if err != nil {
				return err
			}
			defer admin.Close()
			var filter []kadm.DescribeClientQuotaComponent
			for _, part := range entity {
				match := kmsg.QuotasMatchTypeExact
				if part.Name == nil {
					match = kmsg.QuotasMatchTypeDefault
				}
				filter = append(filter, kadm.DescribeClientQuotaComponent{Type: part.Type, MatchName: part.Name, MatchType: match})
			}
			described, err := admin.DescribeClientQuotas(cmd.Context(), false, filter)
			if err != nil {
				return withDetail("list quotas", err, "")
			}
			return writeQuotas(env, described)
		},
	}
	names.flags(cmd)
	return cmd
}

func writeQuotas(env *environment, described kadm.DescribedClientQuotas) error {
	quotas := []quotaJSON{}
	for _, d := range described {
		q := quotaJSON{Quotas: make(map[string]float64)}
		for _, part := range d.Entity {
			name := defaultEntity
			if part.Name != nil {
				name = *part.Name
			}
			switch part.Type {
			case "user":
				q.User = &name
			case "client-id":
				q.ClientID = &name
			case "ip":
				q.IP = &name
			}
		}
		for _, v := range d.Values {
			q.Quotas[v.Key] = v.Value
		}
		quotas = append(quotas, q)
	}
	if env.json {
		return writeJSON(env.out, quotas)
	}
	t := newTable(env.out, "USER", "CLIENT-ID", "IP", "QUOTA", "VALUE")
	cell := func(s *string) string {
		if s == nil {
			return "-"
		}
		return *s
	}
	for i, d := range described {
		for _, v := range d.Values {
			t.row(cell(quotas[i].User), cell(quotas[i].ClientID), cell(quotas[i].IP), v.Key, strconv.FormatFloat(v.Value, 'f', -1, 64))
		}
	}
	return t.flush()
}

func newQuotaSet(env *environment) *cobra.Command {
	var names quotaNames
	cmd := &cobra.Command{
		Use:   "set KEY=VALUE...",
		Short: "Set quotas: " + strings.Join(quotaKeys, ", "),
		Args:  args(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, given []string) error {
			var ops []kadm.AlterClientQuotaOp
			for _, setting := range given {
				key, text, ok := strings.Cut(setting, "=")
				value, err := strconv.ParseFloat(text, 64)
				if !ok || err != nil {
					return usagef("%q is not KEY=NUMBER, such as producer_byte_rate=1048576", setting)
				}
				ops = append(ops, kadm.AlterClientQuotaOp{Key: key, Value: value})
			}
			return alterQuota(cmd.Context(), env, &names, "set", ops)
		},
	}
	names.flags(cmd)
	return cmd
}

// quotaKeys are Kafka's names of quotas.
var quotaKeys = []string{"producer_byte_rate", "consumer_byte_rate", "request_percentage", "controller_mutation_rate", "connection_creation_rate"}

func newQuotaDelete(env *environment) *cobra.Command {
	var names quotaNames
	cmd := &cobra.Command{
		Use:   "delete KEY...",
		Short: "Delete quotas",
		Args:  args(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, keys []string) error {
			var ops []kadm.AlterClientQuotaOp
			for _, key := range keys {
				ops = append(ops, kadm.AlterClientQuotaOp{Key: key, Remove: true})
			}
			return alterQuota(cmd.Context(), env, &names, "deleted", ops)
		},
	}
	names.flags(cmd)
	return cmd
}

// entityText is an entity as its flags.
func entityText(e kadm.ClientQuotaEntity) string {
	parts := make([]string, len(e))
	for i, part := range e {
		parts[i] = part.String()
	}
	return strings.Join(parts, ", ")
}

func alterQuota(ctx context.Context, env *environment, names *quotaNames, done string, ops []kadm.AlterClientQuotaOp) error {
	entity, err := names.needed()
	if err != nil {
		return err
	}
	admin, err := connectAdmin(ctx, env)
	if err != nil {
		return err
	}
	defer admin.Close()
	altered, err := admin.AlterClientQuotas(ctx, []kadm.AlterClientQuotaEntry{{Entity: entity, Ops: ops}})
	if err != nil {
		return withDetail("alter quotas", err, "")
	}
	for _, a := range altered {
		if a.Err != nil {
			return withDetail("quotas of "+entityText(entity), a.Err, a.ErrMessage)
		}
	}
	if env.json {
		return writeJSON(env.out, map[string]any{"entity": entityText(entity), done: len(ops)})
	}
	_, err = fmt.Fprintf(env.out, "%s: %s %s\n", entityText(entity), done, plural(int64(len(ops)), "quota", "quotas"))
	return err
}
