#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The scripts that check rules, on made-up trees that break them and on some that do not."""
import importlib.machinery
import importlib.util
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

ROOT = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../.."))


def load(name):
    """scripts/NAME as a module."""
    path = os.path.join(ROOT, "scripts", name)
    loader = importlib.machinery.SourceFileLoader(name.replace("-", "_"), path)
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
    loader.exec_module(module)
    return module


def function(name, *calls):
    """The text of a file with one function that calls others."""
    declared = "".join(f"void {c}(void);" for c in (name, *calls))
    return declared + f"void {name}(void) {{" + "".join(f"{c}();" for c in calls) + "}"


class Tree(unittest.TestCase):
    """A tree of its own for each test, which is the current folder."""

    def setUp(self):
        self.home = os.getcwd()
        self.tree = tempfile.TemporaryDirectory()
        os.chdir(self.tree.name)

    def tearDown(self):
        os.chdir(self.home)
        self.tree.cleanup()

    def write(self, path, text):
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)


class Objects(Tree):
    """check-objects on a program that maps the C library, and one that maps the library of mathematics besides."""

    def problems(self, text, suite="bookworm"):
        self.write("cmake_install.cmake", "".join(
            f'file(INSTALL DESTINATION "/sbin" TYPE EXECUTABLE FILES "{os.getcwd()}/{name}")\n'
            for name in ("plain", "sine")))
        self.write("plain.c", "int main(void) { return 0; }\n")
        self.write("sine.c", "double sin(double);\nint main(int n, char **words) { return (int)sin(n); }\n")
        for name, library in (("plain", []), ("sine", ["-lm"])):
            subprocess.run([os.environ.get("CC", "cc"), "-w", "-fno-builtin", "-o", name, f"{name}.c", *library],
                           check=True)
        objects = load("check-objects")
        with open("cmake_install.cmake", encoding="utf-8") as f:
            programs = objects.installed(f.read())
        return objects.compare(programs, objects.listed(text, suite)[1])

    def test_a_list_of_all_that_is_mapped_is_right(self):
        self.assertEqual(self.problems("# about\nplain: libc\nsine: libc\n    libm\n"), [])
        self.assertEqual(self.problems("plain: libc trixie=libm\nsine: libc trixie=libm bookworm=libm\n"), [])

    def test_each_difference_is_named(self):
        self.assertEqual(self.problems("plain: libc libm\nsine: libc\n"),
                         ["plain does not map libm, which is listed", "sine maps libm, which is not listed"])
        self.assertEqual(self.problems("other: libc\nplain: libc\n"),
                         ["other is listed, and is not installed", "sine is not listed: it maps libc libm"])

    def test_a_name_has_no_version(self):
        self.assertEqual(load("check-objects").plain("libldap-2.5.so.0"), "libldap")
        self.assertEqual(load("check-objects").plain("libp11-kit.so.0"), "libp11-kit")


class Layers(Tree):
    FOLDERS = "lib/base:\nlib/crypto: lib/base\nlib/proto: lib/base\ndaemon/core: lib/base\n" \
              "coordinator/core: lib/base\n"

    def problems(self, sources, known=(), folders=FOLDERS):
        """The problems that check-layers names in these sources, compiled where CMake would put the objects."""
        self.write("cmake/folders.txt", folders)
        for path, text in sources.items():
            self.write(path, text)
            obj = f"build/CMakeFiles/pv_{os.path.dirname(path).replace('/', '_')}.dir/{path}.o"
            os.makedirs(os.path.dirname(obj), exist_ok=True)
            subprocess.run([os.environ.get("CC", "cc"), "-c", "-o", obj, path], check=True)
        layers = load("check-layers")
        objects = layers.read_objects("build")
        impure = [p for p in layers.check_pure(objects) if p.startswith("impure")]
        return impure + layers.check_circles(objects, dict(known)) + layers.check_folders()

    def lonely(self, sources):
        self.problems(sources)
        layers = load("check-layers")
        return layers.check_lonely(layers.read_objects("build"))

    def test_a_symbol_that_only_its_own_file_uses_is_named(self):
        self.assertEqual(self.lonely({"lib/base/a.c": function("a"), "daemon/core/c.c": function("c", "a")}),
                         ["lonely: nobody but daemon/core/c.c uses c: make it static"])

    def test_a_test_and_a_file_that_is_not_compiled_here_use_what_they_name(self):
        self.write("tests/unit/test_a.c", "int main(void) { return a(); }\n")
        self.write("daemon/core/without.c", function("other", "b"))
        self.assertEqual(self.lonely({"lib/base/a.c": function("a"), "lib/base/b.c": function("b")}), [])

    def ring(self, n, folder="lib/base"):
        """n files, each of which calls the next."""
        return {f"{folder}/f{i}.c": function(f"fn{i}", f"fn{(i + 1) % n}") for i in range(n)}

    def test_a_clean_tree_passes(self):
        self.assertEqual(self.problems({
            "lib/base/a.c": function("a"), "lib/base/b.c": function("b", "a"),
            "daemon/core/c.c": function("c", "a", "b")}), [])

    def test_a_small_circle_in_one_folder_passes(self):
        self.assertEqual(self.problems(self.ring(6)), [])

    def test_a_circle_too_large_is_told_with_both_files_and_a_symbol(self):
        told = self.problems(self.ring(7))
        self.assertEqual(len(told), 1)
        self.assertRegex(told[0], r"^circle: lib/base/f(\d).c uses fn\d of lib/base/f\d.c, which uses "
                                  r"lib/base/f\1.c by way of .*: a circle of 7 files \(at most 6\)")

    def test_the_call_that_joined_two_circles_is_found(self):
        # Two circles of 4 that know each other in one direction; f0 -> g0 is old, g2 -> f3 closes it.
        sources = {f"lib/base/f{i}.c": function(f"f{i}", f"f{(i + 1) % 4}", *["g0"] * (i == 0))
                   for i in range(4)}
        sources.update({f"lib/base/g{i}.c": function(f"g{i}", f"g{(i + 1) % 4}") for i in range(4)})
        self.assertEqual(self.problems(sources), [])
        sources["lib/base/g2.c"] = function("g2", "g3", "f3")
        told = self.problems(sources)
        self.assertEqual(len(told), 1)
        self.assertRegex(told[0], "lib/base/(f0.c uses g0 of lib/base/g0|g2.c uses f3 of lib/base/f3).c")
        self.assertIn("a circle of 8 files", told[0])
        self.assertIn("without this call 4 files would be left", told[0])

    def test_no_circle_spans_two_folders(self):
        told = self.problems({"lib/base/a.c": function("a", "b"), "daemon/core/b.c": function("b", "a")})
        self.assertEqual(len(told), 1)
        self.assertIn("daemon/core/b.c uses a of lib/base/a.c, which uses daemon/core/b.c", told[0])
        self.assertIn("of two folders", told[0])

    def test_an_address_taken_counts_as_a_call(self):
        self.assertEqual(len(self.problems({
            "lib/base/a.c": "void b(void); void (*a)(void) = b;",
            "daemon/core/b.c": "extern void (*a)(void); void b(void) { a(); }"})), 1)

    def test_a_known_circle_may_not_grow_nor_stay_on_the_list(self):
        self.assertEqual(self.problems(self.ring(8), {"lib/base": 8}), [])
        self.assertIn("a circle of 8 files", self.problems(self.ring(8), {"lib/base": 7})[0])
        self.assertIn("has 8: write 8", self.problems(self.ring(8), {"lib/base": 9})[0])
        self.assertIn("has 0: delete that line", self.problems(
            {}, {"lib/base": 8, "lib/crypto": 7})[0])

    def test_a_pure_layer_may_not_read_a_clock(self):
        text = "#include <time.h>\ntime_t a(void);\ntime_t a(void) { return time(0); }"
        self.assertEqual(self.problems({"lib/base/a.c": text}), ["impure: lib/base/a.c uses time"])

    def test_objects_of_deleted_files_do_not_count(self):
        self.problems(self.ring(7))
        os.remove("lib/base/f3.c")
        self.assertEqual(self.problems({}), [])

    def test_a_folder_stands_below_those_it_names(self):
        told = self.problems({}, folders="lib/base: lib/crypto\nlib/crypto: lib/base\n")
        self.assertEqual(told, ["cmake/folders.txt: lib/base may include lib/crypto, and stands above it: "
                                "a folder stands below those it names"])


@unittest.skipIf(os.environ.get("PV_TEST_WHOLE") == "0", "PV_TEST_WHOLE=1 runs it")
class Docs(unittest.TestCase):
    """check-docs on the documents and the tables, where a step of a recipe is left out. All tests share one tree of links
    to them, since making it takes longer than a check."""

    @classmethod
    def setUpClass(cls):
        tree = tempfile.TemporaryDirectory()
        cls.addClassCleanup(tree.cleanup)
        cls.tree = pathlib.Path(tree.name)
        for folder in ("docs", "lib", "daemon", "coordinator", "ctl", "cmake"):
            shutil.copytree(os.path.join(ROOT, folder), cls.tree / folder, copy_function=os.symlink)
        for page in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md"):
            os.symlink(os.path.join(ROOT, page), cls.tree / page)

    def problems(self, path, old, new, check):
        docs = load("check-docs")
        docs.ROOT = self.tree
        changed = self.tree / path
        text = changed.read_text(encoding="utf-8")
        self.assertIn(old, text)
        changed.unlink()
        try:
            changed.write_text(text.replace(old, new), encoding="utf-8")
            getattr(docs, check)()
        finally:
            changed.unlink()
            changed.symlink_to(os.path.join(ROOT, path))
        return docs.problems

    def test_this_tree_is_documented(self):
        self.assertEqual(self.problems("docs/PROTOCOL-PEERS.md", "| type |", "| type |", "check_tables"), [])

    def test_a_reference_leads_to_a_document_and_a_section_that_are_there(self):
        page, old, title = "lib/proto/control/proof.c", 'PROTOCOL-PEERS.md "Proof of the daemon"', '"Proof of the daemon"'
        for words, said in ((f"PROTOCOL-PEERS.md {title}", []),
                            (f'PROTOCOL-PEERS.md {title} and "Stored\n * copies"', []),
                            (f"PROTOCOL.md {title}", [f"docs/PROTOCOL.md has no heading {title}"]),
                            (f'PROTOCOL-PEERS.md {title} and "Waves"', ['docs/PROTOCOL-PEERS.md has no heading "Waves"']),
                            ('"Waves" in ' + "docs/PROTOCOL-PEERS.md", ['docs/PROTOCOL-PEERS.md has no heading "Waves"']),
                            ("PROTOCOL-WAVES" + ".md", ["there is no document PROTOCOL-WAVES" + ".md"])):
            with self.subTest(words):
                found = self.problems(page, old, words, "check_references")
                self.assertEqual([p.split(": ", 1)[1] for p in found], said)

    def test_a_link_to_a_heading_that_is_not_there_is_named(self):
        said = self.problems("docs/guide/trouble.md", "## Dropped packets", "## Lost packets", "check_paths")
        self.assertIn("trouble.md: a link leads to no heading: #dropped-packets", said)
        self.assertNotIn("trouble.md: a link leads to no heading: #two-machines-do-not-meet", said)

    def test_a_title_of_another_piece_of_a_document_names_the_piece(self):
        found = self.problems("docs/PROTOCOL-PEERS.md", 'PROTOCOL-COORDINATOR "Signals"', '"Signals"', "check_references")
        self.assertEqual([p.split(": ", 1)[1] for p in found],
                         ['"Signals" is in docs/PROTOCOL-COORDINATOR.md: name that before it'])

    def test_a_word_of_the_glossary_is_in_the_code(self):
        said = "GLOSSARY.md: no file and nothing in the code is called coordwave"
        self.assertNotIn(said, self.problems("docs/GLOSSARY.md", "`coordclient`", "`coordclient`", "check_paths"))
        self.assertIn(said, self.problems("docs/GLOSSARY.md", "`coordclient`", "`coordwave`", "check_paths"))

    def test_a_command_for_root_is_typed_with_sudo(self):
        for page, old in (("README.md", "sudo p2pvpnctl join p2pvpn-… --name pi"),
                          ("docs/guide/network.md", "sudo p2pvpnctl -n work join p2pvpn"),
                          ("ctl/cmd_rules.c", "sudo p2pvpnctl rules default deny")):
            with self.subTest(old):
                said = self.problems(page, old, old.replace("sudo ", ""), "check_sudo")
                self.assertEqual(len(said), 1, said)
                self.assertIn("is for root: write sudo before it", said[0])
        # Everybody may read the list; and without root there is nobody to ask.
        self.assertEqual(self.problems("docs/guide/keys.md", "sudo p2pvpnctl invite list", "p2pvpnctl invite list",
                                       "check_sudo"), [])

    def test_a_manual_names_documents_that_its_package_has(self):
        page, old = "docs/man/p2pvpnd.conf.5", "/usr/share/doc/p2pvpn/guide/README.md"
        for new, said in (("/usr/share/doc/p2pvpn/TESTING.md", ["the package p2pvpn has no TESTING.md"]),
                          ("docs/guide/rights.md", ["docs/ is nowhere when it is installed: say /usr/share/doc/p2pvpn"])):
            with self.subTest(new):
                self.assertEqual([p.split(": ", 1)[1] for p in self.problems(page, old, new, "check_packed")], said)

    def test_a_part_that_is_not_in_the_engine_is_named(self):
        said = self.problems("daemon/core/parts.h", "    X(dns) \\\n", "", "check_parts")
        self.assertEqual(len(said), 1)
        self.assertIn("pv_part_dns (daemon/core/client/dns.c) is not in PV_PARTS", said[0])

    def test_a_thread_or_process_that_the_map_lacks_is_named(self):
        for page, old, new, said in (("daemon/io/io_jobs.c", '"pv-store"', '"pv-wave"', "the thread wave (daemon/io/io_jobs.c)"),
                                     ("docs/ARCHITECTURE.md", "p2pvpnd keeper", "p2pvpnd waver", "the process keeper (daemon/main.c)")):
            with self.subTest(said):
                self.assertEqual(self.problems(page, old, old, "check_threads"), [])
                found = self.problems(page, old, new, "check_threads")
                self.assertEqual(len(found), 1)
                self.assertIn(said, found[0])

    def test_a_new_in_band_type_is_documented(self):
        said = self.problems("lib/proto/ip/inband.h", "    X(DESCRIPTION, 1,",
                             "    X(WAVE, 77, PV_INBAND_PART_MAX, true) \\\n    X(DESCRIPTION, 1,", "check_tables")
        self.assertEqual(len(said), 2)
        self.assertIn("type 77 (WAVE)", said[0])
        self.assertIn("the list above PV_INBAND_TYPES does not say what WAVE is", said[1])

    def test_a_setting_that_no_core_is_told_is_named(self):
        page, old = "coordinator/core/coord.h", "    size_t n_stun;"
        self.assertEqual(self.problems(page, old, old, "check_told"), [])
        self.assertEqual(self.problems(page, old, "    uint32_t wave;\n" + old, "check_told"),
                         ["coordinator/reload.c: pv_coordtold_make() does not fill in wave of struct pv_coord_policy "
                          "(coordinator/core/coord.h)"])
        said = self.problems("coordinator/relaycfg.c", ".phone_ports_per_net = ", ".phone_ports = ", "check_told")
        self.assertEqual(len(said), 1)
        self.assertIn("pv_relaycfg_policy() does not fill in phone_ports_per_net", said[0])

    def test_a_field_of_a_member_whose_change_nobody_hears_of_is_named(self):
        page, old = "lib/proto/roster/roster.h", "    uint32_t abilities; "
        self.assertEqual(self.problems(page, old, old, "check_members"), [])
        said = self.problems(page, old, "    uint8_t wave;\n" + old, "check_members")
        self.assertEqual(len(said), 1)
        self.assertIn("same_member() does not compare wave of struct pv_member", said[0])

    def test_a_new_command_is_documented(self):
        said = self.problems("lib/proto/local/ctlcmd.h", "    X(WHY,",
                             '    X(WAVE, "wave", ANY, "peer ", "") \\\n    X(WHY,', "check_tables")
        self.assertEqual(len(said), 1)
        self.assertIn("the command wave of", said[0])

    def test_a_new_field_of_a_command_is_documented(self):
        said = self.problems("lib/proto/local/ctlcmd.h", '"peer before upto limit "', '"peer before upto limit wave "',
                             "check_tables")
        self.assertEqual(len(said), 1)
        self.assertIn("the field wave of history", said[0])

    def test_a_new_field_of_status_is_documented(self):
        said = self.problems("lib/proto/local/ctlapi.c", '"away_since"', '"gone_since"', "check_tables")
        self.assertEqual(len(said), 1)
        self.assertIn("the field gone_since", said[0])

    def test_a_field_of_status_that_a_function_beside_packs_is_documented(self):
        said = self.problems("daemon/core/route/routelist.c", '"lan"', '"wave_lan"', "check_tables")
        self.assertEqual(said, ['PROTOCOL-LOCAL.md "Status of a node": the field wave_lan of '
                                "daemon/core/route/routelist.c is missing there"])

    def test_a_new_field_of_an_answer_is_documented(self):
        said = self.problems("daemon/core/client/info.c", '"{s:o, s:o, s:s}", "ip4"', '"{s:o, s:o, s:s}", "wave4"',
                             "check_answers")
        self.assertEqual(said, ['PROTOCOL-LOCAL.md "Control socket": the field wave4 of the answer of ip '
                                "(daemon/core/client/info.c) is missing there"])

    def test_a_new_number_is_documented(self):
        said = self.problems("daemon/core/peer/peers.c", '"p2pvpn_peer_online"', '"p2pvpn_peer_waves"', "check_tables")
        self.assertEqual(len(said), 2)
        self.assertIn("the number peer_waves of daemon/core/peer/peers.c", " ".join(said))
        self.assertIn("nobody counts peer_online", " ".join(said))

    def test_a_new_reason_for_drops_is_documented(self):
        said = self.problems("daemon/core/packets/fastpath.c", '"junk"', '"wave"', "check_tables")
        self.assertEqual(len(said), 1)
        self.assertIn("the reason wave of", said[0])


class Promises(Tree):
    """check-docs on SECURITY.md with something added, beside the tests there are."""

    def problems(self, old, new, check):
        docs = load("check-docs")
        with open(os.path.join(ROOT, "docs/SECURITY.md"), encoding="utf-8") as f:
            text = f.read()
        self.assertIn(old, text)
        self.write("docs/SECURITY.md", text.replace(old, new, 1))
        for tree in ("tests", "scripts"):
            if not os.path.exists(tree):
                os.symlink(os.path.join(ROOT, tree), tree)
        docs.ROOT = pathlib.Path(self.tree.name)
        getattr(docs, check)()
        return docs.problems

    def test_each_test_that_a_document_names_is_there(self):
        self.assertEqual(self.problems("## Trust", "## Trust", "check_tests"), [])
        said = self.problems("## Trust", "`unit/nobody` `lab/flood.strangers_by_pigeon` `sim/evil` `unit/usher.man`\n## Trust",
                             "check_tests")
        self.assertEqual([p.split(": ", 1)[1] for p in said], [
            "there is no test unit/nobody", "lab/flood has no test strangers_by_pigeon", "unit/usher has no test man"])

    def test_each_promise_has_a_test(self):
        for title, added, said in (
                ("## Trust", "", []),
                ("## Trust", "Nobody hears you.", ["no test behind: Nobody hears you."]),
                ("## Trust", "Nobody hears you (`unit/usher`). Nobody sees you.", ["no test behind: Nobody hears you"]),
                ("## Trust", "Nobody hears you (`unit/usher`).", []),
                ("## Trust", "Men are mortal (no promise).", []),
                ("## TLS", "- Nobody\n  hears you.\n- Nobody (`unit/usher`).", ["no test behind: - Nobody"]),
                ("## TLS", "| a | test |\n|---|---|\n| b | reading |\n| c | `sim/evil` |\n| d | |",
                 ["a row without a test", "a row without a test"]),
                ("## Known gaps", "- Anybody hears you.", [])):
            problems = self.problems(title, f"{title}\n\n{added}", "check_promises")
            self.assertEqual(len(problems), len(said), problems)
            for problem, words in zip(problems, said):
                self.assertIn(words, problem)


class Shape(unittest.TestCase):
    """check-shape counts what it says."""

    def test_members(self):
        shape = load("check-shape")
        body = """
            bool a, b; /* bool no; */
            struct { bool c; int d; } inner[2];
            _Atomic bool e;
            void (*run)(void *ctx, bool f);
            const struct pv_log *log, *other;
        """
        self.assertEqual([kind for kind, _ in shape.members(body)],
                         ["bool", "bool", "inner", "_Atomic bool", "void", "const struct pv_log", "const struct pv_log"])

    def test_report(self):
        r = subprocess.run([os.path.join(ROOT, "scripts/check-shape")], capture_output=True, text=True, check=True)
        self.assertIn("members of struct pv_node", r.stdout)
        self.assertNotRegex(r.stdout, r"(?m)^ +0 .*(objects|lines of|tables|trackers)")


if __name__ == "__main__":
    unittest.main()
