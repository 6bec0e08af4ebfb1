package local

// Hold makes the limit of files small enough to be met in a test.
func (f *Fetcher) Hold(files int) { f.most = files }
