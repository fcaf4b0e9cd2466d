"""What the tests of span trees share: scripted models, ways to run, and the rules that every tree keeps."""
