package source

import (
	"context"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// predecessor is the one member that the group had when this one joined. A join makes the group wait
// for all of its members, for a dead one until its session ends. The living come back with their next
// heartbeat; so when the group still waits after patience, the one it waits for is put out.
//
//	kill        open   join                 due                         session ends
//	  │ ········· │ ─────┼──── patience ──────┼─► leave ► assigned          ┊
//
// Who is put out wrongly, after a pause or a cut line, joins anew and reads on from where the tables
// stand: what is safe rests on the tables' fence. Of several members it cannot be told which the group
// waits for, so they wait for the end of the session.
type predecessor struct {
	member     string
	instanceID *string
	host       string
	due        time.Time
}

// States of a consumer group.
const (
	groupStable    = "Stable"
	groupRejoining = "PreparingRebalance"
)

// findPredecessor asks for the only member of a group that is at rest. What fails is no matter: nobody
// is put out then.
func findPredecessor(ctx context.Context, admin *kadm.Client, opts *KafkaOptions) *predecessor {
	g, err := describeGroup(ctx, admin, opts)
	if err != nil || g.State != groupStable || len(g.Members) != 1 {
		return nil
	}
	m := g.Members[0]
	if m.InstanceID != nil && *m.InstanceID == opts.InstanceID {
		return nil // whose place this process takes
	}
	return &predecessor{member: m.MemberID, instanceID: m.InstanceID, host: m.ClientHost}
}

func describeGroup(ctx context.Context, admin *kadm.Client, opts *KafkaOptions) (kadm.DescribedGroup, error) {
	ctx, cancel := context.WithTimeout(ctx, groupTimeout)
	defer cancel()
	groups, err := admin.DescribeGroups(ctx, opts.Group)
	g := groups[opts.Group]
	if err == nil {
		err = g.Err
	}
	if err != nil {
		opts.Logger.Debug("describe the consumer group", "err", err)
	}
	return g, err
}

// succeed puts the predecessor out when the group waits for it.
func (k *Kafka) succeed(ctx context.Context) {
	p := k.predecessor
	if p == nil || k.opts.Now().Before(p.due) {
		return
	}
	if k.wasAssigned() {
		k.predecessor = nil
		return
	}
	g, err := describeGroup(ctx, k.admin, &k.opts)
	if err != nil {
		p.due = k.opts.Now().Add(heartbeatInterval)
		return
	}
	k.predecessor = nil
	if g.State != groupRejoining || !p.in(g) {
		return
	}
	k.opts.Logger.Warn("the consumer group waits for a member that does not answer: putting it out",
		"host", p.host, "member", p.member)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), groupTimeout)
	defer cancel()
	if err := k.putOut(ctx, p.member, p.instanceID); err != nil {
		k.opts.Logger.Debug("put a member out of the consumer group", "err", err)
	}
}

// in says whether the predecessor is still a member.
func (p *predecessor) in(g kadm.DescribedGroup) bool {
	return slices.ContainsFunc(g.Members, func(m kadm.DescribedGroupMember) bool {
		return m.MemberID == p.member
	})
}

// wasAssigned says whether the group gave this member a partition at some time.
func (k *Kafka) wasAssigned() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.seen) > 0
}

// putOut makes a member leave the group. It is named by both of its ids, so that nobody else is put
// out who has the instance id by now.
func (k *Kafka) putOut(ctx context.Context, id string, instanceID *string) error {
	member := kmsg.NewLeaveGroupRequestMember()
	member.MemberID, member.InstanceID = id, instanceID
	request := kmsg.NewPtrLeaveGroupRequest()
	request.Group, request.Members = k.opts.Group, []kmsg.LeaveGroupRequestMember{member}
	_, err := request.RequestWith(ctx, k.client)
	return err
}
