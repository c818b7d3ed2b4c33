package fsck

import (
	"context"
	"fmt"

	"github.com/runnel-io/runnel/metastore"
)

const (
	groupPage   = 1000
	maxSuspects = 100_000
)

// suspect is an offset of a group that does not fit the survey. It may fit the next.
type suspect struct {
	group string
	metastore.TopicPartition
	topic  string
	offset metastore.Offset
}

// checkGroups goes through the committed offsets of all groups.
func (c *check) checkGroups(ctx context.Context) error {
	c.opts.Progress.enter("reading the offsets of groups")
	for from := ""; ; {
		page, err := c.meta.GroupAges(ctx, from, groupPage)
		if err != nil {
			return err
		}
		for _, g := range page {
			offsets, err := c.meta.FetchOffsets(ctx, g.GroupID, nil)
			if err != nil {
				return err
			}
			c.report.Groups++
			c.report.Offsets += len(offsets)
			for _, o := range offsets {
				if w, ok := c.survey.Watermarks(o.TopicPartition); (!ok || o.Offset > w.High) && len(c.suspects) < maxSuspects {
					c.suspects = append(c.suspects, suspect{g.GroupID, o.TopicPartition, o.TopicName, o.Offset})
				}
			}
		}
		if len(page) < groupPage {
			return nil
		}
		from = page[len(page)-1].GroupID + "\x00"
	}
}

// judgeSuspects looks at the offsets again, that a later survey may explain. Where it does not, they are asked for once
// more: a deleted topic's are deleted right after it. A group that has moved on meanwhile is not judged.
func (c *check) judgeSuspects(ctx context.Context, later *metastore.Survey) error {
	if later.Broken && len(c.suspects) > 0 {
		c.report.unjudged("offsets of groups that lie past what can be read of the log")
		return nil
	}
	for _, s := range c.suspects {
		w, exists := later.Watermarks(s.TopicPartition)
		if exists && s.offset <= w.High {
			continue
		}
		now, err := c.meta.FetchOffsets(ctx, s.group, []metastore.TopicPartition{s.TopicPartition})
		if err != nil {
			return err
		}
		switch {
		case len(now) == 0 || now[0].Offset != s.offset:
		case !exists:
			c.report.add(Finding{Kind: OffsetOfNoTopic, Group: s.group,
				Detail: fmt.Sprintf("offset %d of partition %d of topic %s (%s), which does not exist", s.offset, s.Partition, s.topic, s.Topic)})
		default:
			c.report.add(Finding{Kind: OffsetBeyondEnd, Group: s.group,
				Detail: fmt.Sprintf("offset %d of %s-%d, which ends at %d", s.offset, s.topic, s.Partition, w.High)})
		}
	}
	return nil
}
