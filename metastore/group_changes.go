package metastore

import "fmt"

// GroupChanges are rows of groups that are written with an entry, and claims that it depends on.
type GroupChanges struct {
	Claims  []GroupClaim   // each must be the latest of its group
	Offsets []GroupOffsets // to be set, as CommitOffsets does; under whatever claim
}

// GroupClaim is the claim of a group by a coordinator.
type GroupClaim struct {
	Group string
	Epoch GroupEpoch
}

// GroupOffsets are offsets of one group, each partition once.
type GroupOffsets struct {
	Group   string
	Offsets []CommittedOffset
}

// Empty tells whether there is nothing to write or to check.
func (c *GroupChanges) Empty() bool { return len(c.Claims) == 0 && len(c.Offsets) == 0 }

// FencedError is ErrFenced by the claims that are not the latest of their groups.
type FencedError struct{ Claims []GroupClaim }

func (e *FencedError) Error() string { return fmt.Sprintf("claims %v: %s", e.Claims, ErrFenced) }

// Is makes it ErrFenced.
func (e *FencedError) Is(target error) bool { return target == ErrFenced }
