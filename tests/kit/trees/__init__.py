"""What the tests of span trees share: scripted models, ways to run, and the rules that every tree keeps."""

import pytest

pytest.register_assert_rewrite("tests.kit.trees.case", "tests.kit.trees.rules")
