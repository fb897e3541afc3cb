package keyed

import "github.com/firthlake/firth/table"

// Files are the live data files of a snapshot by location, with the deletes that apply to each. Nobody changes them.
type Files map[string]*table.Task

// Task is the file of a location, and false when there is none.
func (f Files) Task(location string) (table.Task, bool) {
	task := f[location]
	if task == nil {
		return table.Task{}, false
	}
	return *task, true
}

// Files are those of the snapshot that Follow brought the index to. They stay what they are while it moves on.
func (k *Keeper) Files() Files { return k.files }
