package placement

// Level is the highest level of commands that this release reads. Levels let brokers of two releases run in one cluster. The first release
// reads level 1. A release that adds a command, or to one a field that changes what Apply does, takes the next number and gives it to that
// command. What stands in a log then says which releases read it: an encoded command carries its level, and an encoded state the
// highest of the commands that made it. A release refuses what is above its own and says so; it never guesses.
//
// The controller's leader puts a command into the log only once every member has told that it reads its level (package
// placement/controller), so an upgrade changes nothing until the first use of what is new; until then every broker can go back to the
// release before.
//
// Level 2 brought AlterSettings, level 3 RecordRecovery.After.
const Level = 3

// LevelOf is the lowest level whose releases read a command, with the fields that it has set, as it is meant. A command of a level above 1
// tells it by a method Level.
func LevelOf(c Command) int {
	if l, ok := c.(interface{ Level() int }); ok {
		return l.Level()
	}
	return 1
}

// Level is the highest level of the commands that made the state.
func (s *State) Level() int { return max(s.level, 1) }
