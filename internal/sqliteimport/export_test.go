package sqliteimport

// Seen by the tests only.
func OwnTables() []string { return ownTables() }

// KeptTables are those that an import never empties.
func KeptTables() []string { return keptTables() }
