package script

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// maxScript is the length of the longest script, bytes.
const maxScript = 1 << 18

// Load reads and parses a file. Its name in errors is the path.
func Load(path string) (*Script, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if len(text) > maxScript {
		return nil, &Error{path, 1, "the script is too long"}
	}
	return Parse(path, text)
}

// Files returns the scripts in and below a folder: all that ends in .txt.
func Files(dir string) ([]string, error) {
	var files []string
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() && filepath.Ext(path) == ".txt" {
			files = append(files, path)
		}
		return err
	})
	return files, err
}

// Test runs all scripts in and below a folder, each as a subtest with the name of
// its file. With update set it writes what came into the scripts.
func Test(t *testing.T, dir string, update bool, newSubject func(Env) (Subject, error)) {
	t.Helper()
	files, err := Files(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		t.Fatalf("there is no script in %s", dir)
	}
	titles := make(map[string]string)
	for _, path := range files {
		name, _ := filepath.Rel(dir, path)
		t.Run(strings.TrimSuffix(filepath.ToSlash(name), ".txt"), func(t *testing.T) {
			s, err := Load(path)
			if err != nil {
				t.Fatal(err)
			}
			if other := titles[s.Title]; other != "" {
				t.Fatalf("%s: %s has the same title", path, other)
			}
			titles[s.Title] = path
			t.Log(s.Title)
			if update {
				rewrite(t, path, s, newSubject)
				return
			}
			if err := s.Run(newSubject); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func rewrite(t *testing.T, path string, s *Script, newSubject func(Env) (Subject, error)) {
	t.Helper()
	text, changed, err := s.Update(newSubject)
	if err != nil {
		t.Fatal(err)
	}
	if !changed {
		return
	}
	if err := os.WriteFile(path, text, 0o644); err != nil {
		t.Fatal(err)
	}
	t.Logf("%s: updated, have a look at the changes", path)
}
