package drive

// Hold makes limits small enough to be met in a test.
func (f *Fetcher) Hold(entries, pages int, answer int64) {
	f.bounds.entries, f.bounds.pages, f.bounds.answer = entries, pages, answer
}
