package node

import (
	"context"

	"github.com/runnel-io/runnel/broker"
	"github.com/runnel-io/runnel/broker/audit"
	"github.com/runnel-io/runnel/broker/config"
)

// auditor records what concerns security, where the configuration says, or nowhere.
type auditor struct {
	audit.Recorder
	log  *audit.Log  // nil: nowhere
	file *audit.File // nil: no file
}

func (n *Node) openAudit(c *config.Audit) (a auditor, err error) {
	opts := audit.Options{Rate: float64(c.Rate), Burst: 10 * c.Rate, Logger: n.part("audit"), Registerer: n.registry, Now: n.members.Now}
	switch {
	case c.File != "":
		if a.file, err = audit.OpenFile(c.File); err != nil {
			return a, err
		}
		a.log = audit.New(a.file, opts)
	case c.Topic != "":
		a.log = audit.New(broker.NewAuditTopic(c.Topic, n.replica, n.replica, n.writer, n.settings, n.members.Now), opts)
	default:
		a.Recorder = audit.Discard{}
		return a, nil
	}
	a.Recorder = a.log
	return a, nil
}

// run writes events until ctx ends.
func (a *auditor) run(ctx context.Context) error {
	if a.log == nil {
		return nil
	}
	err := a.log.Run(ctx)
	if a.file != nil {
		_ = a.file.Close()
	}
	return err
}
