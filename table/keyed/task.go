package keyed

import "github.com/firthlake/firth/table"

// Task is the live data file of a location at the snapshot that Follow brought the index to, with the
// deletes that apply to it, and false when there is none. Nobody changes it.
func (k *Keeper) Task(location string) (table.Task, bool) {
	task := k.files[location]
	if task == nil {
		return table.Task{}, false
	}
	return *task, true
}
