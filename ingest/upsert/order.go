package upsert

import (
	"cmp"
	"math/bits"
	"slices"

	"github.com/firthlake/firth/commit"
	"github.com/firthlake/firth/table/keyindex"
)

const (
	// bucketRows is how many rows a bucket has on average when all keys differ: few enough that insertion
	// sorts them at once.
	bucketRows = 4
	// insertionMax is up to where insertion is faster than the library's sort.
	insertionMax = 24
)

// Order puts the rows in order of keys, of which there is one a row, and returns each key once. Keys are
// hashes, so their leading bits say where they belong: rows are spread over buckets by them, and each
// bucket is sorted by itself.
func (s *Set) Order(keys []keyindex.Key) []keyindex.Key {
	shift := 64 - bits.Len(uint(len(keys)/bucketRows))
	ends := make([]uint32, 1<<(64-shift)+1)
	for i := range keys {
		ends[keys[i].High>>shift+1]++
	}
	for i := range len(ends) - 1 {
		ends[i+1] += ends[i]
	}
	s.versions = slices.Grow(s.versions[:0], len(keys))[:len(keys)]
	ranks := s.ranks()
	for i := range s.parts {
		p := &s.parts[i]
		for row := p.First; row < p.First+p.rows; row++ {
			bucket := keys[row].High >> shift
			s.versions[ends[bucket]] = version{keys[row], ranks[i], uint32(row)}
			ends[bucket]++
		}
	}
	from := uint32(0)
	for _, end := range ends[:len(ends)-1] {
		sortVersions(s.versions[from:end])
		from = end
	}
	distinct := keys[:0]
	s.begins = s.begins[:0]
	for i := range s.versions {
		if i == 0 || s.versions[i].key != s.versions[i-1].key {
			s.begins = append(s.begins, int32(i))
			distinct = append(distinct, s.versions[i].key)
		}
	}
	s.begins = append(s.begins, int32(len(s.versions)))
	return distinct
}

// sortVersions sorts by key, then by topic partition, then by row.
func sortVersions(versions []version) {
	if len(versions) > insertionMax {
		slices.SortFunc(versions, version.compare)
		return
	}
	for i := 1; i < len(versions); i++ {
		v, at := versions[i], i
		for ; at > 0 && v.compare(versions[at-1]) < 0; at-- {
			versions[at] = versions[at-1]
		}
		versions[at] = v
	}
}

func (v version) compare(o version) int {
	if c := v.key.Compare(o.key); c != 0 {
		return c
	}
	return cmp.Compare(uint64(v.rank)<<32|uint64(v.row), uint64(o.rank)<<32|uint64(o.row))
}

// ranks are, by part, the places of the topic partitions in their order.
func (s *Set) ranks() []uint32 {
	var ids []commit.TopicPartition
	for i := range s.parts {
		ids = append(ids, s.parts[i].TopicPartition)
	}
	slices.SortFunc(ids, commit.TopicPartition.Compare)
	ids = slices.Compact(ids)
	ranks := make([]uint32, len(s.parts))
	for i := range s.parts {
		rank, _ := slices.BinarySearchFunc(ids, s.parts[i].TopicPartition, commit.TopicPartition.Compare)
		ranks[i] = uint32(rank)
	}
	return ranks
}
