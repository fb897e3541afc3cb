package objstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/minio/minio-go/v7/pkg/credentials"
	"golang.org/x/sync/singleflight"
)

// Access is what temporary keys allow under a location.
type Access int

// The kinds of access.
const (
	// AccessRead is to get and list objects.
	AccessRead Access = iota
	// AccessWrite is to put and remove them too.
	AccessWrite
)

// Keys are temporary keys of a store.
type Keys struct {
	AccessKey               string
	SecretKey, SessionToken Secret
	Expires                 time.Time
}

// ErrNoKeys says that there are no temporary keys for a location. What wraps it says why.
var ErrNoKeys = errors.New("no temporary keys")

// Times and bounds of temporary keys.
const (
	// keysTime is how long keys are good for: what every store allows, also to a role that another role has taken on.
	keysTime = time.Hour
	// keysFresh is how long they are handed out to others, so that each client has half of the time at least.
	keysFresh = keysTime / 2
	// keysLeft is what keys that cannot be renewed have left when they are handed out for the last time.
	keysLeft = 5 * time.Minute
	// keysWait is how long a store may take to give keys, and keysPause how long it is not asked again when it gave
	// none: clients wait meanwhile, and some have keys of their own.
	keysWait  = 5 * time.Second
	keysPause = 30 * time.Second
	// keysMax bounds the keys that are kept: of 2,000 tables, for reading and for writing.
	keysMax = 4000
)

// VendorOptions are what a Vendor works with. All but Role are required.
type VendorOptions struct {
	// S3 is the store; its keys are those who may take on other rights.
	S3 S3Config
	// Role is the ARN of the role that keys are of. AWS wants one; MinIO does without.
	Role string
	// Within are the locations under which keys are given.
	Within []string
	// Now tells the time.
	Now func() time.Time
}

// Vendor gives temporary keys for single locations, by the AssumeRole of the store's security token service with a
// policy for just that location. It may be used by many goroutines.
type Vendor struct {
	opts     VendorOptions
	endpoint string
	region   string
	client   *http.Client
	own      *credentials.Credentials
	asking   singleflight.Group

	mu    sync.Mutex // guards all below
	kept  map[grant]kept
	fault error     // of the last answer
	until time.Time // the store is not asked before
}

// grant is what keys are for. The prefix ends with a slash.
type grant struct {
	bucket, prefix string
	access         Access
}

// kept are keys and when they are to be renewed.
type kept struct {
	Keys
	fresh time.Time
}

// NewVendor returns a Vendor. It makes no request.
func NewVendor(opts VendorOptions) (*Vendor, error) {
	if err := opts.S3.Validate(); err != nil {
		return nil, err
	}
	if opts.S3.Endpoint == "" && opts.Role == "" {
		return nil, fmt.Errorf("%w: AWS gives them for a role only", ErrNoKeys)
	}
	endpoint, region := opts.S3.Endpoint, opts.S3.Region
	if region == "" {
		region = DefaultS3Config().Region
	}
	if endpoint == "" {
		domain := "amazonaws.com"
		if arnPartition(opts.Role) == "aws-cn" {
			domain = "amazonaws.com.cn"
		}
		endpoint = "https://sts." + region + "." + domain
	}
	transport, err := opts.S3.transport(strings.HasPrefix(endpoint, "https://"))
	if err != nil {
		return nil, err
	}
	return &Vendor{opts: opts, endpoint: endpoint, region: region, client: &http.Client{Transport: transport},
		own: opts.S3.credentials(), kept: map[grant]kept{}}, nil
}

// Vend returns keys that allow access to what lies under a location and to nothing else. They are good for half
// an hour at least, or for as long as those last that the store does not renew. Without keys its error is ErrNoKeys,
// which wraps ErrBadLocation where it is for the location, or that of ctx.
func (v *Vendor) Vend(ctx context.Context, location string, access Access) (Keys, error) {
	g, err := v.grantOf(location, access)
	if err != nil {
		return Keys{}, err
	}
	now := v.opts.Now()
	v.mu.Lock()
	have, fault, pausing := v.kept[g], v.fault, now.Before(v.until)
	v.mu.Unlock()
	switch {
	case now.Before(have.fresh):
		return have.Keys, nil
	case pausing && now.Add(keysLeft).Before(have.Expires):
		return have.Keys, nil
	case pausing:
		return Keys{}, fault
	}
	asked := v.asking.DoChan(fmt.Sprintf("%d %s %s", access, g.bucket, g.prefix), func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), keysWait) // others wait for it too
		defer cancel()
		return v.renew(ctx, g)
	})
	select {
	case <-ctx.Done():
		return Keys{}, ctx.Err()
	case answer := <-asked:
		if answer.Err != nil && now.Add(keysLeft).Before(have.Expires) {
			return have.Keys, nil
		}
		return answer.Val.(Keys), answer.Err
	}
}

// renew asks the store and keeps what it answers.
func (v *Vendor) renew(ctx context.Context, g grant) (Keys, error) {
	keys, err := v.ask(ctx, g)
	now := v.opts.Now()
	v.mu.Lock()
	defer v.mu.Unlock()
	if err != nil {
		v.fault = fmt.Errorf("%w: ask %s for keys of s3://%s/%s: %w", ErrNoKeys, v.endpoint, g.bucket, g.prefix, err)
		v.until = now.Add(keysPause)
		return Keys{}, v.fault
	}
	v.fault, v.until = nil, time.Time{}
	v.makeRoom(now)
	v.kept[g] = kept{keys, now.Add(min(keysFresh, keys.Expires.Sub(now)/2))}
	return keys, nil
}

// makeRoom drops keys that are to be renewed anyway, and else any.
func (v *Vendor) makeRoom(now time.Time) {
	if len(v.kept) < keysMax {
		return
	}
	for g, k := range v.kept {
		if now.After(k.fresh) {
			delete(v.kept, g)
		}
	}
	for g := range v.kept {
		if len(v.kept) < keysMax {
			return
		}
		delete(v.kept, g)
	}
}

// ask makes the request.
func (v *Vendor) ask(ctx context.Context, g grant) (Keys, error) {
	surroundings := &credentials.CredContext{Client: v.client, Endpoint: v.endpoint, Context: ctx}
	own, err := v.own.GetWithContext(surroundings)
	if err != nil {
		return Keys{}, fmt.Errorf("find keys of our own: %w", err)
	}
	provider := credentials.STSAssumeRole{Options: credentials.STSAssumeRoleOptions{
		AccessKey: own.AccessKeyID, SecretKey: own.SecretAccessKey, SessionToken: own.SessionToken,
		Policy: g.policy(arnPartition(v.opts.Role)), Location: v.region, DurationSeconds: int(keysTime / time.Second),
		RoleARN: v.opts.Role, RoleSessionName: "firth",
	}}
	value, err := provider.RetrieveWithCredContext(surroundings)
	if err != nil {
		return Keys{}, err
	}
	if value.SessionToken == "" || !value.Expiration.After(v.opts.Now()) {
		return Keys{}, errors.New("the answer has no keys that expire")
	}
	return Keys{AccessKey: value.AccessKeyID, SecretKey: Secret(value.SecretAccessKey),
		SessionToken: Secret(value.SessionToken), Expires: value.Expiration}, nil
}

// grantOf is what keys for a location are for. Characters that a policy takes for patterns or variables are refused:
// they would reach other locations.
func (v *Vendor) grantOf(location string, access Access) (grant, error) {
	at, err := parseObject(strings.TrimRight(location, "/"))
	if err != nil {
		return grant{}, fmt.Errorf("%w: %s: %w", ErrNoKeys, location, err)
	}
	if strings.ContainsAny(location, "*?$") {
		return grant{}, fmt.Errorf("%w: %w: %s: a policy takes one of * ? $ for a pattern", ErrNoKeys, ErrBadLocation,
			location)
	}
	g := grant{at.bucket, at.key + "/", access}
	for _, within := range v.opts.Within {
		outer, err := parsePlace(strings.TrimRight(within, "/"))
		if err == nil && outer.bucket == g.bucket &&
			(outer.key == "" || strings.HasPrefix(g.prefix, outer.key+"/") && g.prefix != outer.key+"/") {
			return g, nil
		}
	}
	return grant{}, fmt.Errorf("%w: %w: %s lies outside of the warehouse", ErrNoKeys, ErrBadLocation, location)
}

type policyStatement struct {
	Effect    string
	Action    []string
	Resource  string
	Condition map[string]map[string]string `json:",omitempty"`
}

// policy is the rights that a grant leaves of those of our own keys.
func (g grant) policy(partition string) string {
	bucket := "arn:" + partition + ":s3:::" + g.bucket
	objects := []string{"s3:GetObject"}
	if g.access == AccessWrite {
		objects = append(objects, "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload",
			"s3:ListMultipartUploadParts")
	}
	text, err := json.Marshal(struct {
		Version   string
		Statement []policyStatement
	}{"2012-10-17", []policyStatement{
		{Effect: "Allow", Action: objects, Resource: bucket + "/" + g.prefix + "*"},
		{Effect: "Allow", Action: []string{"s3:ListBucket"}, Resource: bucket,
			Condition: map[string]map[string]string{"StringLike": {"s3:prefix": g.prefix + "*"}}},
		{Effect: "Allow", Action: []string{"s3:GetBucketLocation"}, Resource: bucket},
	}})
	if err != nil {
		panic("BUG: encode a policy: " + err.Error())
	}
	return string(text)
}

// arnPartition is the part of AWS that a role is of, "aws" without one.
func arnPartition(role string) string {
	if fields := strings.Split(role, ":"); len(fields) > 1 && fields[0] == "arn" && fields[1] != "" {
		return fields[1]
	}
	return "aws"
}
