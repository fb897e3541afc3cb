package commit

import "log/slog"

// leftoversMax bounds the expired snapshots, and the locations, that are remembered for a later try: some
// 2 MB. It is reached when a store refuses removals for a day of commits, and told when it is.
const leftoversMax = 10_000

// bounded returns the newest of what waits for removal, as many as are remembered, and tells of the others:
// they cost space until somebody removes orphans.
func bounded[T any](log *slog.Logger, waiting []T, what string) []T {
	over := len(waiting) - leftoversMax
	if over <= 0 {
		return waiting
	}
	log.Error("too much waits for removal: the oldest objects of expired snapshots stay as orphans", what, over)
	return waiting[over:]
}
