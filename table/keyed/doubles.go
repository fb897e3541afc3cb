package keyed

import (
	"fmt"

	"github.com/firthlake/firth/table/keyindex"
)

// doublesTold is how many doubles the log names by their place.
const doublesTold = 5

// tellDoubles tells the log how many rows were found doubled, and where the first of them lie.
func (k *Keeper) tellDoubles(found int64) {
	if found <= 0 {
		return
	}
	var places []string
	for _, e := range k.doubles[:min(doublesTold, len(k.doubles))] {
		places = append(places, k.placeText(e.Place))
	}
	k.log.Warn("keys have more than one row, left by a writer that knows no keys: the newest stays, "+
		"the next checkpoint deletes the others", "rows", found, "places", places)
}

func (k *Keeper) placeText(p keyindex.Place) string {
	return fmt.Sprintf("%s row %d", k.index.Path(p.File), p.Row)
}
