"""Files as people have them: one reader for data sets, evaluation and the drop zone.

Each is the right crystal or is refused with the true reason. Where the collection of real cases
lies beside the repository, its files are tried as well.
"""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.db import connect
from ase.io import read as ase_read
from ase.io import write as ase_write
from ase.io.jsonio import encode
from pymatgen.core import Lattice, Structure

from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.crystals.inputs import read_crystals
from crystal_ldm.crystals.readers import ase_files
from crystal_ldm.crystals.readers.cif import read_cif
from crystal_ldm.crystals.readers.sources import read_upload
from crystal_ldm.crystals.readers.tables import read_table
from crystal_ldm.data import load_dataset
from crystal_ldm.errors import DataError, EvaluationError
from crystal_ldm.evaluate import evaluate
from crystal_ldm.evaluate.matching import match_pairs
from crystal_ldm.parallel import Workers

CASES = Path(__file__).resolve().parents[3] / "shared" / "cases"

Right = tuple[str, int, float] | str
"""Formula, atoms of the primitive cell and Å³ an atom; or a pattern of the reason."""

SALT: Right = ("NaCl", 2, 22.43)
CSCL: Right = ("CsCl", 2, 34.97)
MOS2: Right = ("MoS2", 6, 17.73)
ANATASE: Right = ("TiO2", 6, 11.36)


def cif(
    sites: str,
    cell: tuple[float, ...] = (5.64, 5.64, 5.64, 90, 90, 90),
    group: str = "",
    before: str = "",
    columns: str = "label type_symbol fract_x fract_y fract_z occupancy",
) -> str:
    names = [f"_cell_length_{n}" for n in "abc"] + [f"_cell_angle_{n}" for n in
                                                    ("alpha", "beta", "gamma")]  # fmt: skip
    lines = ["data_x", *filter(None, [before])]
    lines += [f"{name} {value}" for name, value in zip(names, cell, strict=True)]
    lines += [f"_symmetry_space_group_name_H-M {group}"] if group else []
    lines += ["loop_", *(f"_atom_site_{name}" for name in columns.split())]
    return "\n".join([*lines, *(line.strip() for line in sites.strip().splitlines()), ""])


NACL_SITES = "Na1 Na 0 0 0 1\nCl1 Cl 0.5 0.5 0.5 1"
CUBE = (4.12, 4.12, 4.12, 90, 90, 90)
HEXAGON = (3.16, 3.16, 12.3, 90, 90, 120)
SILICON = (5.43, 5.43, 5.43, 90, 90, 90)
TETRAGON = (3.785, 3.785, 9.514, 90, 90, 90)
ZINC_BLENDE = (5.65, 5.65, 5.65, 90, 90, 90)
ARSENIDE = "Ga1 Ga 0 0 0 1\nAs1 As 0.25 0.25 0.25 1"
GAAS: Right = ("GaAs", 2, 22.55)
RUTILE = (4.737, 4.737, 3.185, 90, 90, 90)
TIN: Right = ("SnO2", 6, 11.91)
BISMUTH: Right = ("Bi", 2, 35.38)
ALL_ATOMS = "\n".join(
    f"{symbol}{i} {symbol} {(x + shift) % 1} {y} {z} 1"
    for symbol, shift in (("Na", 0), ("Cl", 0.5))
    for i, (x, y, z) in enumerate([(0, 0, 0), (0, 0.5, 0.5), (0.5, 0, 0.5), (0.5, 0.5, 0)])
)
MAGNETIC = cif(
    "Fe1 Fe 0 0 0 1", (4.17, 4.17, 4.17, 90, 90, 90),
    before="_space_group_magn.number_BNS 167.108\nloop_\n_space_group_symop_magn_operation.xyz\n"
    "x,y,z,+1\nloop_\n_space_group_symop_magn_centering.xyz\nx,y,z,+1\nx+1/2,y+1/2,z+1/2,-1",
)  # fmt: skip
LIO = "Li1 Li 0 0 0 1\nO1 O 0.5 0.5 0.5 1"
NACL = cif(NACL_SITES, group="'F m -3 m'")
CSCL_TEXT = cif("Cs1 Cs 0 0 0 1\nCl1 Cl 0.5 0.5 0.5 1", CUBE, "'P 1'")
MOS2_SITES = "Mo1 Mo4+ 0.333 0.667 0.25 1\nS1 S2- 0.333 0.667 0.621(3) 1."
SLAB = "Cs 0 0 0\nCl 2.06 2.06 2.06\n"

CIFS: dict[str, tuple[str, Right]] = {
    "formula_question": (NACL.replace("data_x", "data_x\n_chemical_formula_sum ?"), SALT),
    "formula_capitals": (cif("Si1 SI 0.125 0.125 0.125 1", SILICON, "'F d -3 m Z'",
                             "_chemical_formula_sum SI"), ("Si", 2, 20.01)),
    "formula_empty": (cif(NACL_SITES, group="Fm-3m", before="_chemical_formula_sum ''"), SALT),
    "formula_commas": (CSCL_TEXT.replace("data_x", "data_x\n_chemical_formula_sum 'Cs,Cl'"), CSCL),
    "block_before": (f"data_global\n_journal_year 1999\n\n{NACL}", SALT),
    "block_after": (f"{NACL}\ndata_refinement\n_refine_ls_number_reflns 12\n", SALT),
    "two_crystals": (NACL + CSCL_TEXT.replace("data_x", "data_y"), SALT),
    "old_symbol": (cif(NACL_SITES, group="'F m 3 m'"), SALT),
    "full_symbol": (cif(NACL_SITES, group="'F 4/m -3 2/m'"), SALT),
    "symbol_without_quotes": (cif(NACL_SITES, group="F m -3 m"), SALT),
    "hall": (cif(NACL_SITES, before="_symmetry_space_group_name_Hall '-F 4 2 3'"), SALT),
    "number_alone": (cif(NACL_SITES, before="_symmetry_Int_Tables_number 225"), SALT),
    "symbol_question": (cif(NACL_SITES, group="?"), "symmetry is unknown"),
    "symbol_unknown": (cif(NACL_SITES, group="'F q -3 m'"), "F q -3 m is not understood"),
    "two_groups": (cif(NACL_SITES, group="'F m -3 m'", before="_space_group_IT_number 221"),
                   "names two space groups"),
    "cell_does_not_fit": (cif(NACL_SITES, (5.64, 5.64, 5.9, 90, 90, 90), "'F m -3 m'"),
                          "cell does not have the symmetry"),
    "origin_Z": (cif("Si1 Si 0.125 0.125 0.125 1", SILICON, "'F d -3 m Z'"), ("Si", 2, 20.01)),
    "origin_2": (cif("Si1 Si 0.125 0.125 0.125 1", SILICON, "'F d -3 m :2'"), ("Si", 2, 20.01)),
    "origin_S": (cif("Si1 Si 0 0 0 1", SILICON, "'F d -3 m S'"), ("Si", 2, 20.01)),
    "origin_open": (cif("Si1 Si 0 0 0 1", SILICON, "'F d -3 m'"), "leaves open which setting"),
    "origin_by_z": (cif("Si1 Si 0.125 0.125 0.125 1", SILICON, "'F d -3 m'",
                        "_chemical_formula_sum Si\n_cell_formula_units_Z 8"), ("Si", 2, 20.01)),
    "anatase_Z": (cif("Ti1 Ti 0 0.25 0.375 1\nO1 O 0 0.25 0.1668 1", TETRAGON, "'I 41/a m d Z'"),
                  ANATASE),
    "occupancy_dot": (cif("Cs1 Cs 0 0 0 ?\nCl1 Cl 0.5 0.5 0.5 .", CUBE, "'P 1'"), CSCL),
    "occupancy_half": (cif("Cs1 Cs 0 0 0 0.5\nCl1 Cl 0.5 0.5 0.5 1", CUBE, "'P 1'"), "disordered"),
    "coordinate_dot": (cif("Cs1 Cs 0 0 0 1\nCl1 Cl . . . 1", CUBE, "'P 1'"), "has no place"),
    "coordinate_question": (cif("Cs1 Cs ? ? ? 1\nCl1 Cl 0 0 0 1", CUBE, "'P 1'"), "has no place"),
    "attached_hydrogen": (
        cif("Li1 Li 0 0 0 0\nO1 O 0.5 0.5 0.5 1", CUBE, "'P 1'",
            columns="label type_symbol fract_x fract_y fract_z attached_hydrogens"),
        "Hydrogen is missing"),
    "water": (cif("Na1 0 0 0\nWat1 0.5 0.5 0.5", CUBE, "'P 1'",
                  columns="label fract_x fract_y fract_z"), "Hydrogen is missing"),
    "formula_with_hydrogen": (
        cif("Li1 Li 0 0 0 1\nO1 O 0.5 0.5 0.5 1", CUBE, "'P 1'", "_chemical_formula_sum 'H Li O'"),
        "Hydrogen is missing"),
    "third_3": (cif(MOS2_SITES, HEXAGON, "'P 63/m m c'"), MOS2),
    "third_4": (cif(MOS2_SITES.replace("333", "3333").replace("667", "6667"), HEXAGON,
                    "'P 63/m m c'"), MOS2),
    "third_truncated": (cif(MOS2_SITES.replace("667", "666"), HEXAGON, "'P 63/m m c'"), MOS2),
    "listed_twice": (cif("Cs1 Cs 0 0 0 1\nCs2 Cs 0 0 0 1\nCl1 Cl 0.5 0.5 0.5 1", CUBE, "'P 1'",
                         "_chemical_formula_sum 'Cs Cl'"), "Cs1 and Cs2 are at the same place"),
    "fraction": (cif("Mo1 Mo 1/3 2/3 1/4 1", HEXAGON, "'P 63/m m c'"),
                 "a fraction is not a number"),
    "occupancy_two": (cif("Cs1 Cs 0 0 0 2\nCl1 Cl 0.5 0.5 0.5 1", CUBE, "'P 1'"),
                      "occupancy 2, which cannot be"),
    "code_of_origin": (cif("Si1 Si 0.125 0.125 0.125 1", SILICON, "'F d -3 m'",
                           "_space_group_IT_coordinate_system_code 2"), ("Si", 2, 20.01)),
    "water_of_formula": (cif("Li1 Li 0 0 0 1\nO1 O 0.5 0.5 0.5 1", CUBE, "'P 1'",
                             "_chemical_formula_moiety 'Li O H'"), "Hydrogen is missing"),
    "template_block": (f"data_t\nloop_\n_atom_site_fract_x\n{NACL}", SALT),
    "decimal_comma": (cif("Cs1 Cs 0 0 0 1", ("4,12", "4,12", "4,12", 90, 90, 90), "'P 1'"),
                      "a decimal comma"),
    "no_data_line": (NACL.replace("data_x\n", ""), "no line 'data_"),
    "volume_wrong": (NACL.replace("data_x", "data_x\n_cell_volume 200"), "states a cell volume"),
    "z_wrong": (cif(NACL_SITES, group="'F m -3 m'",
                    before="_chemical_formula_sum 'Na Cl'\n_cell_formula_units_Z 2"),
                "states 2 formula units"),
    "multiplicity_wrong": (cif("Na1 Na 0 0 0 8\nCl1 Cl 0.5 0.5 0.5 4", group="'F m -3 m'",
                               columns="label type_symbol fract_x fract_y fract_z "
                               "symmetry_multiplicity"), "states 8 equivalent atoms for Na1"),
    "multiplicity_right": (cif("Na1 Na 0 0 0 4\nCl1 Cl 0.5 0.5 0.5 4", group="'F m -3 m'",
                               columns="label type_symbol fract_x fract_y fract_z "
                               "symmetry_multiplicity"), SALT),
    "operations_missing": (NACL.replace("loop_", "loop_\n_symmetry_equiv_pos_as_xyz\nx,y,z\n"
                                        "-y,x,z\nloop_"), "not a group"),
    "operations_of_another": (NACL.replace("loop_", "loop_\n_symmetry_equiv_pos_as_xyz\nx,y,z\n"
                                           "-x,-y,-z\nloop_"), "are not those of the space group"),
    "roomy_without_symmetry": (cif(NACL_SITES), "others are missing"),
    "without_symmetry": (CSCL_TEXT.replace("_symmetry_space_group_name_H-M 'P 1'\n", ""), CSCL),
    "dummy": (cif("X1 X 0 0 0 1\nCl1 Cl 0.5 0.5 0.5 1", CUBE, "'P 1'"), "not a chemical element"),
    "ambiguous_label": (cif("CO1 0 0 0\nO1 0.5 0.5 0.5", CUBE, "'P 1'",
                            columns="label fract_x fract_y fract_z"), "may be Co or C"),
    "screw_in_brackets": (cif("Sn1 Sn 0 0 0 1\nO1 O 0.306 0.306 0 1", RUTILE, "'P4(2)/mnm'"), TIN),
    "screw_in_tildes": (cif("Sn1 Sn 0 0 0 1\nO1 O 0.306 0.306 0 1", RUTILE, "'P 4~2~/m n m'"), TIN),
    "screw_sub": (cif("Sn1 Sn 0 0 0 1\nO1 O 0.306 0.306 0 1", RUTILE, "P4sub2/mnm"), TIN),
    "screw_at_the_end": (cif("Se1 Se 0.1 0.2 0.3 1", (4, 4, 4, 90, 100, 90), "'P 2(1)'",
                             "_space_group_IT_number 4"), ("Se", 2, 31.51)),
    "number_behind": (cif("Se1 Se 0.1 0.2 0.3 1", (4, 4, 4, 90, 100, 90), "'P 2 (3)'",
                          "_symmetry_Int_Tables_number 3"), ("Se", 2, 31.51)),
    "bar_behind": (cif(ARSENIDE, ZINC_BLENDE, "'F 4- 3 m'"), GAAS),
    "minus_of_papers": (cif(ARSENIDE, ZINC_BLENDE, "'F \u22124 3 m'"), GAAS),
    "underscores_quoted": (cif(ARSENIDE, ZINC_BLENDE, '"F_-4_3_m"'), GAAS),
    "number_216": (cif(ARSENIDE, ZINC_BLENDE, before="_symmetry_Int_Tables_number 216"), GAAS),
    "label_question": (cif(ARSENIDE.replace("Ga1", "?"), ZINC_BLENDE, "'F -4 3 m'"), GAAS),
    "symbol_question_": (cif(ARSENIDE.replace(" Ga ", " ? "), ZINC_BLENDE, "'F -4 3 m'"), GAAS),
    "no_element": (cif("? 0 0 0 1\nAs1 0.25 0.25 0.25 1", ZINC_BLENDE, "'F -4 3 m'",
                       columns="label fract_x fract_y fract_z occupancy"),
                   "which element its atom number 1 is"),
    "cell_uncertain": (cif(ARSENIDE, ("5.65(2)", "'5.65 (2)'", "5.65", "90.0", 90, "90.00(1)"),
                           "'F -4 3 m'"), GAAS),
    "mixed": (cif("Ga1 Ga 0 0 0 0.5\nAl1 Al 0 0 0 0.5\nAs1 As 0.25 0.25 0.25 1", ZINC_BLENDE,
                  "'F -4 3 m'"), "disordered"),
    "empty_site": (cif(f"{ARSENIDE}\nH1 H 0.5 0.5 0.5 0", ZINC_BLENDE, "'F -4 3 m'"), GAAS),
    "bismuth_R": (cif("Bi1 Bi 0.234 0.234 0.234 1", (4.746, 4.746, 4.746, 57.23, 57.23, 57.23),
                      "'R -3 m'"), BISMUTH),
    "bismuth_H": (cif("Bi1 Bi 0 0 0.234 1", (4.546, 4.546, 11.862, 90, 90, 120), "'R -3 m H'"),
                  BISMUTH),
    "bismuth_number": (cif("Bi1 Bi 0 0 0.234 1", (4.546, 4.546, 11.862, 90, 90, 120),
                           before="_space_group_IT_number 166"), BISMUTH),
    "bismuth_wrong_axes": (cif("Bi1 Bi 0 0 0.234 1", (4.746, 4.746, 4.746, 57.23, 57.23, 57.23),
                               "'R -3 m :H'"), "cell does not have the symmetry"),
    "corundum": (cif("Al1 Al 0 0 0.352 1\nO1 O 0.306 0 0.25 1",
                     (4.759, 4.759, 12.991, 90, 90, 120), "'R -3 c'"), ("Al2O3", 10, 8.49)),
    "mmcif": (cif(ARSENIDE, ZINC_BLENDE, "'F -4 3 m'").replace("_cell_", "_cell.").replace(
        "_atom_site_", "_atom_site."), GAAS),
    "mmcif_cartesian": (cif(ARSENIDE, ZINC_BLENDE, "'F -4 3 m'").replace("fract_", "Cartn_"),
                        "no fractional coordinates"),
    "magnetic": (MAGNETIC, ("Fe", 1, 36.26)),
    "modulated": (NACL.replace("data_x", "data_x\n_cell_modulation_dimension 1"), "modulated"),
    "empty": ("", "is empty"),
    "vacancy": (cif("Li1 Li 0 0 0 1\nVa1 Va 0.5 0.5 0.5 1", CUBE, "'P 1'"),
                r"not a chemical element \('Va'\)"),
    "alternatives": (cif("Cs1 Cs 0 0 0 1\nCl1 Cl 0.5 0.5 0.5 2", CUBE, "'P 1'",
                         columns="label type_symbol fract_x fract_y fract_z disorder_group"),
                     "of the alternative 2"),
    "dummy_site": (cif("Cs1 Cs 0 0 0 d\nCl1 Cl 0.5 0.5 0.5 d\nCl2 Cl 0 0 0.5 dum", CUBE, "'P 1'",
                       columns="label type_symbol fract_x fract_y fract_z calc_flag"), CSCL),
    "isotopes": (cif("Cs1 133Cs 0 0 0 1\nCl1 Cl_35 0.5 0.5 0.5 1", CUBE, "'P 1'"), CSCL),
    "name_with_blanks": (NACL.replace("data_x", "data_ my crystal (1)"), SALT),
    "end_of_dos": (NACL + "\x1a\n\f", SALT),
    "tex": (cif(NACL_SITES, group=r"'$Fm\bar{3}m$'"), SALT),
    "bar_above": (cif(NACL_SITES, group="'F m 3\u0304 m'"), SALT),
    "subscript": (cif("Sn1 Sn 0 0 0 1\nO1 O 0.306 0.306 0 1", RUTILE, "P4₂/mnm"), TIN),
    "hall_as_name": (cif(NACL_SITES, group="'-F 4 2 3'"), SALT),
    "origin_of_icsd": (cif("Si1 Si 0.125 0.125 0.125 1", SILICON, "FD3-MZ"), ("Si", 2, 20.01)),
    "operation_without_quotes": (
        CSCL_TEXT.replace("loop_", "loop_\n_symmetry_equiv_pos_as_xyz\nx, y, z\nloop_"), CSCL),
    "all_atoms": (cif(ALL_ATOMS, group="'F m -3 m'"), SALT),
    "all_atoms_and_identity": (
        cif(ALL_ATOMS, group="'F m -3 m'", before="loop_\n_symmetry_equiv_pos_as_xyz\nx,y,z"),
        SALT),
    "some_images": (cif("Na1 Na 0 0 0 1\nNa2 Na 0.5 0.5 0 1\nCl1 Cl 0.5 0.5 0.5 1",
                        group="'F m -3 m'"), "Na2, which is an image of another"),
    "other_elements": (cif(NACL_SITES, group="'F m -3 m'", before="_chemical_formula_sum 'K Cl'"),
                       r"but holds Cl4 Na4\."),
    "template_of_dots": ("data_t\n_cell_length_a ?\nloop_\n_atom_site_label\n_atom_site_fract_x\n"
                         f"? ?\n{NACL}", SALT),
    "bar_in_brackets": (cif(NACL_SITES, group="'F m (-3) m'"), SALT),
    "bar_in_words": (cif(NACL_SITES, group="'F 4/m 3bar 2/m'"), SALT),
    "bar_in_tex_dollars": (cif(NACL_SITES, group=r"'Fm$\overline{3}$m'"), SALT),
    "number_as_name": (cif(NACL_SITES, group="'No. 225'"), SALT),
    "number_behind_comma": (cif(NACL_SITES, group="'F m -3 m, 225'"), SALT),
    "number_and_origin": (cif("Si1 Si 0.125 0.125 0.125 1", SILICON,
                              "'Fd-3m (227, origin choice 2)'"), ("Si", 2, 20.01)),
    "number_and_another": (cif(NACL_SITES, group="'229'", before="_space_group_IT_number 221"),
                           "names two space groups, 229 and number 221"),
    "number_twice": (cif(NACL_SITES, group="'225'", before="_space_group_IT_number 225"), SALT),
    "number_and_zero": (cif(NACL_SITES, group="'225'", before="_space_group_IT_number 0"), SALT),
    "number_with_a_word": (cif(NACL_SITES, before="_space_group_IT_number 'No. 225'"), SALT),
    "hydroxide_by_name": (cif(LIO, CUBE, "'P 1'", "_chemical_name_systematic 'lithium hydroxide'"),
                          "Hydrogen is missing"),
    "hydrate_by_name": (cif(LIO, CUBE, "'P 1'", "_chemical_name_common 'oxide monohydrate'"),
                        "Hydrogen is missing"),
    "dehydrated": (cif(LIO, CUBE, "'P 1'", "_chemical_name_common 'dehydrated oxide'"),
                   ("LiO", 2, 34.97)),
    "anhydride": (cif(LIO, CUBE, "'P 1'", "_chemical_name_common 'an anhydride'"),
                  ("LiO", 2, 34.97)),
    **{
        f"tungsten_{label}": (
            cif(f"{label} 0 0 0\nC1 0.5 0.5 0.5", (3.2, 3.2, 3.2, 90, 90, 90), "'P 1'",
                f"_chemical_formula_sum '{formula}'", columns="label fract_x fract_y fract_z"),
            ("WC", 2, 16.38) if formula != "C O H2" else "Hydrogen is missing: 'Wa2'")
        for label, formula in {"WA": "C W", "WA1": "?", "Wa1": "C W", "Wa2": "C O H2"}.items()
    },
    "sum_with_brackets": (cif(LIO, CUBE, "'P 1'", "_chemical_formula_sum 'Li (O H)'"),
                          "Hydrogen is missing"),
    "mercury_in_capitals": (cif("Hg1 Hg 0 0 0 1\nSe1 Se 0.25 0.25 0.25 1", ZINC_BLENDE,
                                "'F -4 3 m'", "_chemical_formula_structural HGSE"),
                            ("HgSe", 2, 22.55)),
    "weight_with_hydrogen": (cif(LIO, CUBE, "'P 1'", "_chemical_formula_weight 23.95"),
                             "formula weight of 23.95 g/mol"),
    "weight_right": (cif(NACL_SITES, group="'F m -3 m'", before="_chemical_formula_weight 58.44"),
                     SALT),
    "density_with_hydrogen": (cif(LIO, CUBE, "'P 1'", "_exptl_crystal_density_diffrn 0.569"),
                              "states a density of 0.569"),
    "element_by_name": (
        cif("copper1 0 0 0\nChlorine .5 .5 .5", group="'F m -3 m'",
            columns="label fract_x fract_y fract_z"), ("CuCl", 2, 22.43)),
    "titanium_by_formula": (
        cif("Tin1 0 0 0\nO1 .5 .5 .5", group="'F m -3 m'", before="_chemical_formula_sum 'Ti O'",
            columns="label fract_x fract_y fract_z"), ("TiO", 2, 22.43)),
    "site_by_word": (cif("Osite 0 0 0\nCl1 .5 .5 .5", columns="label fract_x fract_y fract_z"),
                     "not a chemical element \\('Osite'"),
    "formula_with_vacancies": (
        cif(NACL_SITES, group="'F m -3 m'", before="_chemical_formula_sum 'Na0.98 Cl'"),
        "states the formula 'Na0.98 Cl'"),
    "formula_in_thirds": (
        cif("Ca1 Ca 0 0 0 1\nF1 F .25 .25 .25 1", group="'F m -3 m'",
            before="_chemical_formula_sum 'Ca0.33 F0.67'"), ("CaF2", 3, 14.95)),
    "hydroxide_by_type": (cif(LIO.replace("O1 O", "X1 O_H"), CUBE, "'P 1'"), "Hydrogen is missing"),
    "hydroxide_by_label": (cif(LIO.replace("O1 O", "O-H O"), CUBE, "'P 1'"), "Hydrogen is missing"),
    "web_page": ("<!DOCTYPE html><html><body>404</body></html>", "a web page"),
}  # fmt: skip

NOTED = {
    "dummy": (cif("Cs1 Cs 0 0 0 d\nCl1 Cl 0.5 0.5 0.5 d\nCl2 Cl 0 0 0.5 dum", CUBE, "'P 1'",
                  columns="label type_symbol fract_x fract_y fract_z calc_flag"), "Dummy sites"),
    "element": (cif("Cs1 K 0 0 0 1\nCl1 Cl 0.5 0.5 0.5 1", CUBE, "'P 1'"), "Cs1 is K"),
    "tungsten": (cif("Wa1 0 0 0\nC1 0.5 0.5 0.5", (3.2, 3.2, 3.2, 90, 90, 90), "'P 1'",
                     columns="label fract_x fract_y fract_z"), "Wa1 is read as tungsten"),
    "room": (cif(NACL_SITES, group="'P 1'"), "see whether some are missing"),
    "silent": (CSCL_TEXT.replace("_symmetry_space_group_name_H-M 'P 1'\n", ""), "list all atoms"),
    "occupancy": (cif("Cs1 Cs 0 0 0 .\nCl1 Cl 0.5 0.5 0.5 1", CUBE, "'P 1'"), "is read as 1."),
    "nitrate": (cif("N1 NO3 0 0 0 1\nCs1 Cs 0.5 0.5 0.5 1", CUBE, "'P 1'"), "NO3 is read as No;"),
    "sulfate": (cif("S1 SO4 0 0 0 1\nBa1 Ba 0.5 0.5 0.5 1", CUBE, "'P 1'"), "SO4 is read as S;"),
    "poscar": ("x\n4.1\n1 0 0\n0 1 0\n0 0 1\nCs D\n1 1\nDirect\n0 0 0\n.5 .5 .5\n", "Deuterium"),
    "json": (json.dumps({"cif": cif("D1 0 0 0\nCl1 0.5 0.5 0.5", CUBE, "'P 1'",
                                    columns="label fract_x fract_y fract_z")}), "Deuterium"),
}  # fmt: skip

SHARED: dict[str, Right] = {
    "02_formula_question.cif": SALT, "04_formula_dot.cif": SALT, "33_formula_commas.cif": CSCL,
    "e1_formula_empty.cif": SALT, "10_data_global.cif": SALT, "f1_three_blocks.cif": SALT,
    "c12_question_sg.cif": "symmetry is unknown", "c14_Fm3m_old.cif": SALT,
    "36b_Si_Z.cif": ("Si", 2, 20.01), "c4_anatase_Z.cif": ANATASE,
    "c5_anatase_Z_nosum.cif": ANATASE,
    "22_occ_question.cif": CSCL, "a1_occ_dot_noformula.cif": ("CsHCl", 3, 23.31),
    "a4_occ_dot_sameelement.cif": ("TiO2", 6, 10.44), "b1_coord_dot.cif": "has no place",
    "b3_coord_question_noformula.cif": "has no place", "h4_label_Wat.cif": "Hydrogen is missing",
    "i2_hydrogen_attached_nosum.cif": "Hydrogen is missing", "15_MoS2_3.cif": MOS2,
    "15_MoS2_4.cif": MOS2, "26_duplicate_atoms.cif": "at the same place",
    "40_nodata.cif": "no line 'data_", "44_fractions.cif": "a fraction is not a number",
    "48_comma.cif": "a decimal comma", "POSCAR_vasp4": "does not name its elements",
    "POSCAR_good": SALT,
}  # fmt: skip


def load(source, **keywords):
    return load_dataset(source, progress=False, workers=1, **keywords)


def check(path: Path, right: Right) -> None:
    """A file is right in all three places where files are read."""
    evaluated = read_crystals(path)
    if isinstance(right, str):
        for read in (lambda: load(path), lambda: read_upload(path.name, path.read_bytes())):
            with pytest.raises(DataError) as caught:
                read()
            assert re.search(right, str(caught.value)), str(caught.value)
            cut = right in ("is empty", "lists 1 of 2 atoms")
            assert "cut short" not in str(caught.value) or cut
        assert evaluated.crystals == [None] and re.search(right, evaluated.errors[0] or "")
        return
    dataset = load(path)
    dropped = read_upload(path.name, path.read_bytes())[0].to_structure()
    assert evaluated.crystals[0] is not None
    whole = [dataset.structure(0), dropped, evaluated.crystals[0].to_structure()]
    for structure in whole:
        primitive = structure.get_primitive_structure()
        volume = primitive.volume / len(primitive)
        assert (CrystalBatch.from_structures([structure]).formulas[0], len(primitive)) == right[:2]
        assert volume == pytest.approx(right[2], abs=0.01)


@pytest.mark.parametrize("kind", CIFS)
def test_a_cif_is_the_right_crystal_or_refused_for_the_true_reason(tmp_path: Path, kind: str):
    text, right = CIFS[kind]
    (tmp_path / f"{kind}.cif").write_text(text)
    check(tmp_path / f"{kind}.cif", right)


RIDING = """C1 C -0.0569(3) 0.1387(2) -0.0054(4) 0.050 Uani 1 d . . .
H1 H -0.0976 0.2447 -0.0177 0.060 Uiso 1 calc R . .
C2 C -0.1335(3) 0.0460(2) 0.1264(4) 0.050 Uani 1 d . . .
H2 H -0.2409 0.0794 0.2218 0.060 Uiso 1 calc R . .
C3 C -0.0774(3) -0.0925(2) 0.1295(4) 0.050 Uani 1 d . . .
H3 H -0.1371 -0.1631 0.2312 0.060 Uiso 1 calc R . .
"""
BENZENE: Right = ("HC", 48, 9.62)
BARE = "".join(f"{line}\n" for line in RIDING.splitlines() if line[0] == "C")
ORGANIC: dict[str, tuple[str, str, Right]] = {
    "as listed": (RIDING, "'C6 H6'\n_chemical_formula_weight 78.11\n"
                  "_exptl_crystal_density_diffrn 1.123\n_cell_formula_units_Z 4", BENZENE),
    "whole molecules": (RIDING, "'C12 H12'\n_cell_formula_units_Z 2", BENZENE),
    "one group": (RIDING.replace(". .\n", "A 1\n"), "'C6 H6'", BENZENE),
    "two groups": (RIDING.replace(". .\n", "A 1\n").replace("A 1", "A 2", 1), "'C6 H6'",
                   "disordered"),
    "no H": (BARE, "'C6 H6'\n_cell_formula_units_Z 4", "Hydrogen is missing"),
    "no H in the sum": (RIDING, "C6\n_cell_formula_units_Z 4", "states the formula 'C6'"),
    "H in the name": (BARE, "?\n_chemical_formula_moiety 'C6 H6'", "Hydrogen is missing"),
    "H in the density": (BARE, "?\n_exptl_crystal_density_diffrn 1.123", "density of 1.123"),
}  # fmt: skip


@pytest.mark.parametrize("kind", ORGANIC)
def test_hydrogen_of_organic_crystals_is_there_or_missed(tmp_path: Path, kind: str):
    sites, stated, right = ORGANIC[kind]
    columns = ("label type_symbol fract_x fract_y fract_z U_iso_or_equiv adp_type occupancy "
               "calc_flag refinement_flags disorder_assembly disorder_group")  # fmt: skip
    cell = (7.355, 9.371, 6.700, 90, 90, 90)
    text = cif(sites, cell, "'P b c a'", f"_chemical_formula_sum {stated}", columns)
    if isinstance(right, str):
        with pytest.raises(DataError, match=right):
            read_cif(text)
        return
    found, notes, _ = read_cif(text)
    assert (found.formula, len(found)) == right[:2] and not notes
    assert found.volume / len(found) == pytest.approx(right[2], abs=0.01)


@pytest.mark.parametrize("kind", NOTED)
def test_what_is_doubtful_in_a_file_is_said_once_wherever_it_is_read(tmp_path: Path, kind: str):
    text, note = NOTED[kind]
    path = tmp_path / (
        "a.json" if text.startswith("{") else "a.vasp" if kind == "poscar" else "a.cif"
    )
    path.write_text(text)
    for notes in (
        load(path).report.notes,
        load([path, path]).report.notes,
        read_crystals(path).notes,
        read_crystals([path, path]).notes,
        read_upload(path.name, path.read_bytes())[1],
    ):
        assert sum(note in one for one in notes) == 1
    here = Workers(here=True)
    for function in (CrystalBatch.from_structures, lambda p: match_pairs(p, p, workers=here)):
        with pytest.warns(UserWarning) as said:
            function([path, path])
        assert sum(note in str(one.message) for one in said) == 1
    evaluated = evaluate([path], [path], metrics=("validity",), targets=[path], workers=here)
    assert sum(note in one for one in evaluated.notes) == 3, "of the crystals and of both others"


def test_names_of_groups_and_of_heavy_hydrogen_are_said_of_structures():
    heavy = Structure(Lattice.cubic(4), ["Li", "D+"], [[0] * 3, [0.5] * 3])
    written = json.loads(json.dumps(heavy.as_dict()).replace('"H"', '"D"'))
    group = Structure(Lattice.cubic(4), ["Cs", "No"], [[0] * 3, [0.5] * 3], labels=["Cs1", "NO3"])
    cobalt = Structure(Lattice.cubic(4), ["Co", "S"], [[0] * 3, [0.5] * 3], labels=["CO1", "SO4"])
    for one, data, note in (
        (heavy, written, "Deuterium and"),
        (group, group.as_dict(), "NO3 is read as No;"),
        (cobalt, cobalt.as_dict(), ""),
    ):
        for crystal in (one, data, {"structure": data}):
            found = read_crystals([crystal, crystal]).notes
            assert len(found) == bool(note) and note in "".join(found)


def test_the_shared_cases_are_right():
    for file in sorted(CASES.rglob("*")):
        if file.name in SHARED:
            check(file, SHARED[file.name])


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "latin-1"])
def test_any_usual_encoding_is_read(tmp_path: Path, encoding: str):
    text = NACL.replace("data_x", "data_x\n_publ_author_name 'Müller, É.'")
    for name, content in (("a.cif", text.encode(encoding)),
                          ("b.cif.gz", gzip.compress(text.encode(encoding)))):  # fmt: skip
        (tmp_path / name).write_bytes(content)
        check(tmp_path / name, SALT)
    lines = ["file,Bandlücke,band_gap", "a.cif,ü,5", "b.cif.gz,é,5"]
    (tmp_path / "table.csv").write_bytes("\n".join(lines).encode(encoding))
    dataset = load(tmp_path)
    assert dataset.labels["band_gap"].tolist() == [5, 5] and dataset.labels["Bandlücke"] == [
        "ü",
        "é",
    ]


def test_files_of_tools_are_no_crystals(tmp_path: Path):
    (tmp_path / "a.cif").write_text(NACL)
    for name in (".ipynb_checkpoints/a-checkpoint.cif", "__MACOSX/._a.cif", "._a.cif", ".b.cif"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"\0\5\x16\7 junk")
    (tmp_path / "._table.csv").write_bytes(b"\0\5\x16\7")
    assert list(load(tmp_path).ids) == ["a"] == read_crystals(tmp_path).ids


def test_id_prop_without_its_first_file(tmp_path: Path):
    for name, text in (("2", NACL), ("3", CSCL_TEXT)):
        (tmp_path / f"{name}.cif").write_text(text)
    (tmp_path / "p.csv").write_text("1,1.25\n2,2.5\n3,-3\n")
    dataset = load(tmp_path)
    assert dict(zip(dataset.ids, dataset.labels["target"].tolist(), strict=True)) == {
        "2": 2.5, "3": -3.0,
    }  # fmt: skip


def test_poscar_needs_its_elements(tmp_path: Path):
    head = "salt\n1.0\n4.12 0 0\n0 4.12 0\n0 0 4.12\n"
    (tmp_path / "POSCAR_old").write_text(f"{head}1 1\nDirect\n0 0 0\n0.5 0.5 0.5\n")
    check(tmp_path / "POSCAR_old", "does not name its elements")
    (tmp_path / "new.vasp").write_text(f"{head}Cs Cl\n1 1\nDirect\n0 0 0\n0.5 0.5 0.5\n")
    check(tmp_path / "new.vasp", CSCL)


POSCAR = "GaAs\n1.0\n0 2.825 2.825\n2.825 0 2.825\n2.825 2.825 0\nGa As\n1 1\nDirect\n"
ATOMS = "0 0 0\n0.25 0.25 0.25\n"
CARTESIAN = "0 0 0\n1.4125 1.4125 1.4125\n"
POSCARS: dict[str, tuple[str, Right]] = {
    "POSCAR": (POSCAR + ATOMS, GAAS),
    "POSCAR_selective": (POSCAR.replace("Direct", "Selective dynamics\nDirect")
                         + "0 0 0 T T F\n0.25 0.25 0.25 F F F\n", GAAS),
    "volume.vasp": (POSCAR.replace("1.0", "-45.09", 1) + ATOMS, ("GaAs", 2, 22.54)),
    "CONTCAR": (POSCAR + ATOMS + "\n0.0 0.0 0.0\n0.1 0.1 0.1\n", GAAS),
    "cartesian.poscar": (POSCAR.replace("Direct", "Cartesian") + CARTESIAN, GAAS),
    "scaled.poscar": (POSCAR.replace("Direct", "cartesian").replace("1.0", "1.1", 1) + CARTESIAN,
                      ("GaAs", 2, 30.01)),
    "GaAs_POSCAR": (POSCAR.replace("\n", "\r\n") + ATOMS, GAAS),
    "POSCAR_form_feed": ("by me\x0c" + POSCAR + ATOMS, GAAS),
    "POSCAR_comments": (POSCAR.replace("Ga As", "Ga As ! elements") + ATOMS.replace(
        "0\n", "0 ! first\n", 1), GAAS),
    "POSCAR_potentials": (POSCAR.replace("Ga As", "Ga_d As") + ATOMS, GAAS),
    "POSCAR_labelled": (POSCAR.replace("Ga As\n", "") + "0 0 0 Ga\n0.25 0.25 0.25 As\n", GAAS),
    "POSCAR_cut": (POSCAR + "0 0 0\n", "lists 1 of 2 atoms"),
    "POSCAR_stars": (POSCAR + ATOMS.replace("0.25\n", "****\n"), r"0.25 \*\*\*\*' is"),
    "POSCAR_commas": (POSCAR + ATOMS.replace(".", ","), "decimal points: '0,25 0,25 0,25'"),
    "POSCAR_fortran": (POSCAR + ATOMS.replace("0.25", "0.25d0"), "decimal points"),
    "POSCAR_scales": (POSCAR.replace("1.0", "1 1 1", 1) + ATOMS, "one scale factor"),
    "POSCAR_names": (POSCAR.replace("Ga As", "Ga As In") + ATOMS, "names 3 elements"),
    "POSCAR_more": (POSCAR + ATOMS + "0.5 0.5 0.5\n", "more than the 2 atoms"),
    "gaas.contcar": (POSCAR + ATOMS, GAAS),
    "poscar_small": (POSCAR + ATOMS, GAAS),
    "POSCAR_symbols": (POSCAR + "0 0 0 Ga\n0.25 0.25 0.25 As\n", GAAS),
    "POSCAR_other_symbols": (POSCAR + "0 0 0 As\n0.25 0.25 0.25 Ga\n", "is Ga by line 6"),
    "POSCAR_capitals": (POSCAR.replace("Ga As", "GA AS") + ATOMS, "'GA' is not the symbol"),
    "POSCAR_gap": (POSCAR.replace("Direct", "\nDirect") + ATOMS, "Line 8 of the POSCAR must say"),
    "POSCAR_steps": (POSCAR.replace("Direct", "Direct configuration= 1") + ATOMS
                     + "Direct configuration= 2\n" + ATOMS, "more than the 2 atoms"),
    "of_no_suffix": (POSCAR + ATOMS, GAAS),
    "CHGCAR": (POSCAR + ATOMS + "\n 2 2 2\n .1 .2 .3 .4 .5 .6 .7 .8\n", GAAS),
    "POSCAR_hash": (POSCAR.replace("1.0\n", "1.0 # scale\n", 1).replace("1 1", "1 1 # atoms")
                    + ATOMS, GAAS),
    "POSCAR_lines": (POSCAR.replace("Ga As\n1 1", "Ga\nAs\n1\n1") + ATOMS, GAAS),
    "POSCAR_infinite": (POSCAR.replace("0 2.825", "0 1e999").replace("Direct", "Cartesian")
                        + CARTESIAN, "1e999 2.825' is"),
    "POSCAR_deuterium": (POSCAR.replace("Ga As\n", "") + "0 0 0 D\n0.25 0.25 0.25 Li\n",
                         ("LiH", 2, 22.54)),
    "POSCAR_moving": (POSCAR + ATOMS + "Direct\n0.0 0.0 0.0\n0.1 0.1 0.1\n", GAAS),
    "POSCAR_fluorine": (POSCAR.replace("Ga As\n", "") + "0 0 0 Li\n0.25 0.25 0.25 F\n",
                        ("LiF", 2, 22.54)),
    "POSCAR_fractional": (POSCAR.replace("Direct", "Fractional") + ATOMS, GAAS),
    "POSCAR_order": (POSCAR.replace("Ga As\n1 1", "1 1\nGa As") + ATOMS, "must have 3 numbers"),
}  # fmt: skip


@pytest.mark.parametrize("name", POSCARS)
def test_a_poscar_is_the_right_crystal_or_refused_for_the_true_reason(tmp_path: Path, name: str):
    text, right = POSCARS[name]
    (tmp_path / name).write_text(text, newline="")
    check(tmp_path / name, right)


def test_deuterium_in_a_poscar_is_said(tmp_path: Path):
    (tmp_path / "a.vasp").write_text(POSCAR.replace("Ga As", "Li D") + ATOMS)
    assert "Deuterium" in " ".join(load(tmp_path / "a.vasp").report.notes)


TWO_ELEMENTS = ["Si/Al", "Si,Al", "SiAl", "Si0.5Al0.5", "Si4+/Al3+", "Si-Al", "Si_Al"]


@pytest.mark.parametrize("name", TWO_ELEMENTS)
@pytest.mark.parametrize("by_label", [False, True])
def test_a_site_that_names_two_elements_is_disordered(tmp_path: Path, name: str, by_label: bool):
    """By its type symbol, or by a label with a slash, a comma or shares."""
    label, columns = f"'{name}'", "label fract_x fract_y fract_z occupancy"
    sites = f"{label} 0 0 0 1\nO1 0.5 0.5 0.5 1"
    if not by_label:
        sites, columns = f"M1 {label} 0 0 0 1\nO1 O 0.5 0.5 0.5 1", ""
    text = cif(sites, CUBE, "'P m -3 m'", **({"columns": columns} if columns else {}))
    (tmp_path / "a.cif").write_text(text)
    if by_label and name in ("SiAl", "Si-Al", "Si_Al"):  # names of sites are free
        assert load(tmp_path / "a.cif").formulas == ["SiO"]
    else:
        check(tmp_path / "a.cif", "names more than one element for a site")


@pytest.mark.parametrize(
    ("site", "reason"),
    [("M1 CH3", "Hydrogen is missing"), ("T1 .", "not a chemical element"), ("M1 FeIII", "")],
)
def test_groups_and_tetrahedral_sites_are_no_elements(tmp_path: Path, site: str, reason: str):
    text = cif(f"{site} 0 0 0 1\nO1 O 0.5 0.5 0.5 1", CUBE, "'P m -3 m'")
    (tmp_path / "a.cif").write_text(text)
    if reason:
        check(tmp_path / "a.cif", reason)
    else:
        assert load(tmp_path / "a.cif").formulas == ["FeO"]


def test_files_of_other_names_hold_crystals_too(tmp_path: Path):
    (tmp_path / "iron.mcif").write_text(MAGNETIC)
    check(tmp_path / "iron.mcif", ("Fe", 1, 36.26))
    (tmp_path / "GaAs_POSCAR").write_text(POSCAR + ATOMS)
    assert list(load(tmp_path).ids) == ["GaAs", "iron"]


def frame(species: str, rest: str = "", pbc: str = "T T T") -> str:
    cell = 'Lattice="4.12 0 0 0 4.12 0 0 0 4.12" Properties=species:S:1:pos:R:3'
    first, second = species.split()
    return f'2\n{cell} {rest} pbc="{pbc}"\n{first} 0 0 0\n{second} 2.06 2.06 2.06\n'


def test_extxyz_energies_are_labels_and_named(tmp_path: Path):
    path = tmp_path / "e.extxyz"
    path.write_text(frame("Cs Cl", "energy=-6.5") + frame("Cs Br", "energy=-6.25"))
    dataset = load(path)
    assert dataset.labels["energy"].tolist() == [-6.5, -6.25]
    assert any("energy" in note for note in dataset.report.notes)
    assert read_crystals(path).labels["energy"].tolist() == [-6.5, -6.25]


def test_deuterium_is_hydrogen_and_a_bad_frame_is_one_frame(tmp_path: Path):
    path = tmp_path / "d.extxyz"
    path.write_text(frame("Cs Cl") + frame("Li D") + frame("Cs Qq") + frame("K Cl"))
    dataset = load(path)
    assert dataset.batch(range(3)).formulas == ["CsCl", "LiH", "KCl"]
    assert any("Deuterium" in note for note in dataset.report.notes)
    assert [r.id for r in dataset.report.rejected] == ["d-3"]
    assert [c is None for c in read_crystals(path).crystals] == [False, False, True, False]
    (tmp_path / "d.cif").write_text(cif("Li1 Li 0 0 0 1\nD1 D 0.5 0.5 0.5 1", CUBE, "'P 1'"))
    assert load(tmp_path / "d.cif").batch([0]).formulas == ["LiH"]


def test_slabs_are_refused_everywhere(tmp_path: Path):
    """Periodic in two directions: as extxyz, ASE Atoms, pymatgen Structure, json."""
    (tmp_path / "slab.extxyz").write_text(frame("Cs Cl", pbc="T T F"))
    slab = Structure(Lattice(np.eye(3) * 4.12, pbc=(True, True, False)), ["Cs", "Cl"],
                     [[0] * 3, [0.5] * 3])  # fmt: skip
    (tmp_path / "slab.json").write_text(json.dumps([slab.as_dict()]))
    atoms = Atoms("CsCl", cell=np.eye(3) * 4.12, pbc=(True, True, False))
    for source in (tmp_path / "slab.extxyz", tmp_path / "slab.json", [slab], [atoms]):
        with pytest.raises(DataError, match="not periodic in all three directions"):
            load(source)
        assert "not periodic" in (read_crystals(source).errors[0] or "")
    for item in (slab, atoms, slab.as_dict(), tmp_path / "slab.extxyz"):
        with pytest.raises(DataError, match="not periodic"):
            CrystalBatch.from_structures([item])


def test_partly_occupied_sites_are_refused_in_ase_and_optimade(tmp_path: Path):
    """ASE's reader of CIF keeps one species a site, and its share aside."""
    (tmp_path / "m.cif").write_text(CIFS["mixed"][0])
    mixed = ase_read(tmp_path / "m.cif")
    half = frame("Cs Cl").replace("0 0 0\n", "0 0 0 0.5\n").replace("2.06\n", "2.06 1\n")
    (tmp_path / "o.extxyz").write_text(half.replace("pos:R:3", "pos:R:3:occupancy:R:1"))
    vacant = optimade(concentration=[0.9])
    attached = optimade(attached=["H"], nattached=[2])
    for source, reason in ((mixed, "disordered"), (tmp_path / "o.extxyz", "disordered"),
                           (vacant, "disordered"), (attached, "Atoms are missing")):  # fmt: skip
        with pytest.raises(DataError, match=reason):
            CrystalBatch.from_structures([source])


def optimade(**species: list) -> dict:
    kinds = [{"name": "A1", "chemical_symbols": ["Cs"], "concentration": [1.0], **species},
             {"name": "B1", "chemical_symbols": ["Cl"], "concentration": [1.0]}]  # fmt: skip
    return {
        "id": "x1",
        "attributes": {
            "lattice_vectors": (np.eye(3) * 4.12).tolist(),
            "cartesian_site_positions": [[0, 0, 0], [2.06, 2.06, 2.06]],
            "species_at_sites": ["A1", "B1"],
            "species": kinds,
        },
    }


def test_single_structures_in_json_and_ase_files(tmp_path: Path):
    atoms = Atoms("CsCl", cell=np.eye(3) * 4.12, scaled_positions=[[0] * 3, [0.5] * 3], pbc=True)
    salt = Structure(Lattice.cubic(4.12), ["Cs", "Cl"], [[0] * 3, [0.5] * 3]).as_dict()
    angles = dict.fromkeys(("alpha", "beta", "gamma"), 90)
    files = {
        "optimade": {"data": optimade(), "meta": {}},
        "jarvis": {"lattice_mat": (np.eye(3) * 4.12).tolist(), "coords": [[0] * 3, [0.5] * 3],
                   "elements": ["Cs ", "Cl"], "cartesian": False},
        "lengths": {**salt, "lattice": {**dict.fromkeys("abc", 4.12), **angles}},
        "places": {**salt, "sites": [{k: v for k, v in site.items() if k != "abc"}
                                     for site in salt["sites"]]},
        "plain": json.loads(encode(atoms.todict())),
    }  # fmt: skip
    for name, content in files.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    (tmp_path / "lines.jsonl").write_text(json.dumps({"id": "a", "structure": salt}) + "\n")
    for name in ("a.traj", "b.json", "c.db", "d.xsf"):
        ase_write(tmp_path / name, atoms)
    for path in sorted(tmp_path.iterdir()):
        check(path, CSCL)
    (tmp_path / "e.cif.txt").write_text(CSCL_TEXT)
    check(tmp_path / "e.cif.txt", CSCL)
    (tmp_path / "cut.xsf").write_text(
        "".join((tmp_path / "d.xsf").read_text().splitlines(True)[:-1])
    )
    with pytest.raises(DataError, match="It ends early"):
        load(tmp_path / "cut.xsf")
    salt["sites"][0]["species"][0]["occu"] = 0.9999
    (tmp_path / "whole.json").write_text(json.dumps(salt))
    check(tmp_path / "whole.json", CSCL)
    metres = {**optimade()["attributes"], "lattice_vectors": (np.eye(3) * 4.12e-10).tolist()}
    (tmp_path / "nomad.json").write_text(json.dumps(metres))
    check(tmp_path / "nomad.json", "of metres, as NOMAD")
    metres["lattice_vectors"] = [[0, 0, 0]] * 3
    (tmp_path / "flat.json").write_text(json.dumps(metres))
    check(tmp_path / "flat.json", "no volume")
    molecule = {"@class": "Molecule", "sites": [{"species": [], "xyz": [0, 0, 0]}]}
    (tmp_path / "m.json").write_text(json.dumps(molecule))
    check(tmp_path / "m.json", "sites and no lattice")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("a.zip", "unpack"),
        ("a.tar.gz", "unpack"),
        ("a.xsf", "cannot be read"),
        ("a.xlsx", "no known"),
    ],
)
def test_other_kinds_are_refused_by_name_everywhere(tmp_path: Path, name: str, reason: str):
    (tmp_path / name).write_bytes(b"PK\x03\x04 something")
    for read in (load, read_crystals, lambda path: read_upload(path.name, path.read_bytes())):
        with pytest.raises((DataError, EvaluationError), match=f"{name} .*{reason}"):
            read(tmp_path / name)


@pytest.mark.parametrize(
    ("table", "values", "note"),
    [
        (",k\na,1\nb,2\n", [1, 2], ""),  # as pandas saves an index of names
        (",id,k\n0,a,1\n1,b,2\n", [1, 2], ""),
        ("id,k\r./A.CIF,1\rC:\\my\\b.cif,2\r", [1, 2], ""),
        ("id;k\na;1.234\nb;2.500\n", [1.234, 2.5], ""),
        ("id,k\na,1 234.5\nb,2\u202f000\n", [1234.5, 2000], "signs between thousands"),
        ("id,k\na,−1.5\nb,3·10²\n", [-1.5, 300], ""),
        ("id,k\na,1,\nb,2,\n", [1, 2], ""),
        ("id,k\n-,GPa\na,1\nb,2\n", [1, 2], "is one of units"),
        ("id,k\na,#N/A\nb,2\n", [None, 2], ""),
        ("id,k,k\na,1,3\nb,2,4\n", [1, 2], "one is called 'k.1'"),
        ("id,k ,k\na,1,3\nb,2,4\n", [1, 2], "one is called 'k.1'"),
        ("id,k\na,>1\nb,2\n", None, "is read as text"),
        ("name,k\nNaCl,1\nCsCl,2\n", None, "names are such as NaCl, CsCl"),
        ("id,k\na,1,9\nb,2\n", "more cells than its first line", ""),
        ("id,k\n[-],[GPa]\na,1\nb,2\n", [1, 2], "is one of units"),
        ("id,k\n,\n-,GPa\na,1\n,\nb,2\n", [1, 2], "is one of units"),
        ("id,k\na,-9999\nb,2\n", [None, 2], "stand for none (-9999)"),
        ("Table 1: mine,,\n,,\nid,k,g\na,1,2\nb,2,3\n", [1, 2], "'Table 1: mine' above the header"),
        ("id,k,\na,1,5\nb,2,6\n", [1, 2], "Columns without a name"),
        ("id,k\na,1200 MPa\nb,2\n", None, "is read as text"),
        ("id,k\na,1200 MPa\nb,2 GPa\n", None, "is read as text"),
    ],
)
def test_tables_as_programs_and_people_write_them(
    tmp_path: Path, table: str, values: list | str | None, note: str
):
    for name, text in (("a", NACL), ("b", CSCL_TEXT)):
        (tmp_path / f"{name}.cif").write_text(text)
    (tmp_path / "p.csv").write_text(table, newline="")
    if isinstance(values, str):
        with pytest.raises(DataError, match=values):
            load(tmp_path)
        return
    dataset = load(tmp_path)
    assert note in " ".join(dataset.report.notes)
    if values is not None:
        read = [None if np.isnan(v) else pytest.approx(v) for v in dataset.labels["k"].tolist()]
        assert read == values


@pytest.mark.parametrize(
    ("table", "rows"),
    [('cif,\n"data_a\n_cell 1\n",\n', 1), ("a,\nb,1.3\nc,2\n", 3), ("My table,\nid,k\nc,2\n", 1),
     ("# about\n\nid;k\nb;1,5\n", 1), ("Unnamed: 0,id,k\n0,b,1.5\n", 1)],
)  # fmt: skip
def test_what_stands_alone_in_a_first_line_may_be_no_title(tmp_path: Path, table: str, rows: int):
    (tmp_path / "p.csv").write_text(table)
    columns = read_table(tmp_path / "p.csv", [], ["a", "b", "c"])
    assert len(next(iter(columns.values()))) == rows
    assert next(iter(columns)) in ("cif", "id")


def test_a_row_of_units_converts_known_labels(tmp_path: Path):
    (tmp_path / "a.cif").write_text(NACL)
    (tmp_path / "p.csv").write_text("id,band_gap\n,meV\na,5100\n")
    assert load(tmp_path).labels["band_gap"].tolist() == pytest.approx([5.1])


def test_files_of_a_folder_that_are_not_read_are_named(tmp_path: Path):
    folder = tmp_path / "mine"  # the cache is beside it
    folder.mkdir()
    (folder / "a.cif").write_text(NACL)
    for name in ("properties.xlsx", "~$properties.csv", "Thumbs.db", "b.cif~"):
        (folder / name).write_bytes(b"PK\x03\x04")
    notes = " ".join(load(folder).report.notes)
    assert "properties.xlsx is not" in notes and "saved as csv" in notes
    assert "Thumbs" not in notes and "~" not in notes


def rows(path: Path, header: str, values: list[str], separator: str = ",") -> Path:
    lines = [header]
    for i, value in enumerate(values):
        lines.append(separator.join([f"00{i}", f'"{(NACL, CSCL_TEXT)[i % 2]}"', value]))
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize(
    ("column", "label", "factor"),
    [
        ("band_gap (meV)", "band_gap", 1e-3),
        ("gap [meV]", "band_gap", 1e-3),
        ("band_gap_meV", "band_gap", 1e-3),
        ("band_gap/meV", "band_gap", 1e-3),
        ("band_gap_in_meV", "band_gap", 1e-3),
        (r"$E_{\mathrm{g}}$ [meV]", "band_gap", 1e-3),
        ("band_gap <meV>", "band_gap", 1e-3),
        ("band_gap (cm$^{-1}$)", "band_gap", 1.239842e-4),
        ("formation energy (meV/atom)", "formation_energy_per_atom", 1e-3),
        ("formation_energy (eV)", "formation_energy (eV)", 1),
        ("band gap / eV", "band_gap", 1),
        ("band_gap (PBE)", "band_gap", 1),
        ("band_gap (eV, PBE)", "band_gap", 1),
        ("Eg (Ry)", "band_gap", 13.6056931),
        ("band_gap (nm)", "band_gap (nm)", 1),
        ("band_gap (MeV)", "band_gap (MeV)", 1),
        ("formation_energy_per_atom [kJ/mol]", "formation_energy_per_atom", 0.01036427),
        ("formation_energy_per_atom [kcal/mol]", "formation_energy_per_atom", 0.0433641),
        ("eform (kJ/mol)", "eform (kJ/mol)", 1),
        ("E_hull (meV/atom)", "e_above_hull", 1e-3),
        ("e_above_hull (eV/f.u.)", "e_above_hull (eV/f.u.)", 1),
        ("hardness (GPa)", "hardness (GPa)", 1),
    ],
)
def test_units_are_converted_or_the_column_keeps_its_name(
    tmp_path: Path, column: str, label: str, factor: float
):
    path = rows(tmp_path / "t.csv", f'material_id,cif,"{column}"', ["5100", "50"])
    dataset = load(path)
    assert dataset.label_names == [label]
    assert dataset.labels[label].tolist() == pytest.approx([5100 * factor, 50 * factor], rel=1e-5)
    notes = " ".join(dataset.report.notes)
    assert ("values times" in notes) == (factor != 1)
    unknown = column in ("hardness (GPa)", "formation_energy (eV)")
    assert ("keeps its name" in notes) == (label == column and not unknown)


def test_a_unit_that_does_not_fit_the_label_asked_for_is_refused(tmp_path: Path):
    path = rows(tmp_path / "t.csv", "material_id,cif,gap (nm)", ["500", "400"])
    assert load(path, labels={"gap (nm)": "wavelength"}).label_names == ["wavelength"]
    with pytest.raises(DataError, match=r"'nm'.*cannot be converted to eV"):
        load(path, labels={"gap (nm)": "band_gap"})
    path = rows(tmp_path / "u.csv", "material_id,cif,x (meV)", ["500", "400"])
    assert load(path, labels={"x (meV)": "band_gap"}).labels["band_gap"][0] == pytest.approx(0.5)


def test_an_exact_column_name_wins_over_a_similar_one(tmp_path: Path):
    path = rows(tmp_path / "t.csv", "material_id,cif,Egap,band_gap", ["1,5", "2,6"])
    dataset = load(path)
    assert dataset.labels["band_gap"].tolist() == [5, 6]
    assert dataset.labels["Egap"].tolist() == [1, 2]


@pytest.mark.parametrize("separator", [";", "\t", ",", "|"])
def test_separators_and_ids(tmp_path: Path, separator: str):
    header = separator.join(["material_id", "cif", "band_gap", "n"])
    value = "5,5" if separator != "," else "5.5"
    path = rows(tmp_path / "t.csv", header, [separator.join([value, "7"])] * 2, separator)
    path.write_text(path.read_text().replace("001", "NaN", 1))
    dataset = load(path)
    assert list(dataset.ids) == ["000", "NaN"] == read_crystals(path).ids
    assert dataset.labels["band_gap"].tolist() == [5.5, 5.5]
    assert dataset.labels["n"].tolist() == [7, 7]


@pytest.mark.parametrize(
    ("values", "right", "note"),
    [
        (["1.42 eV", "5500 meV"], [1.42, 5.5], "have units; read as eV"),
        (["1.42(3)", "5.5 ± 0.1"], [1.42, 5.5], "without uncertainties"),
        (["1.42", "-"], [1.42, None], ""),
        (["1.42", "<6"], [1.42, None], "not numbers and were left empty, for example '<6'"),
        (['"1,420"', '"5,5"'], [1.42, 5.5], "have decimal commas"),
        (['"1,420"', '"5,500"'], [None, None], "left empty.* may be decimal or stand between"),
        (["1.42 V", "5.5"], [None, 5.5], "not numbers and were left empty, for example '1.42 V'"),
    ],
)
def test_numbers_as_people_write_them(tmp_path: Path, values: list, right: list, note: str):
    dataset = load(rows(tmp_path / "t.csv", "material_id,cif,band_gap", values))
    gaps = dataset.labels.get("band_gap", np.full(2, np.nan))
    assert [None if np.isnan(v) else pytest.approx(v) for v in gaps] == right
    assert re.search(note, " ".join(dataset.report.notes))


@pytest.mark.parametrize(
    ("separator", "values"),
    [(",", ['"1,234.5"', '"2,000"']), (";", ["1.234,5", "2.000"]), ("|", ["1234,5", "2000"])],
)
def test_thousands_and_units_of_own_columns(tmp_path: Path, separator: str, values: list):
    header = separator.join(["material_id", "cif", "bulk (GPa)"])
    dataset = load(rows(tmp_path / "t.csv", header, values, separator))
    assert dataset.labels["bulk (GPa)"].tolist() == [1234.5, 2000.0]
    cells = [f"{value} GPa" for value in ("110", "140")]
    dataset = load(rows(tmp_path / "u.csv", header, cells, separator))
    assert dataset.labels["bulk (GPa)"].tolist() == [110, 140]
    point_groups = load(rows(tmp_path / "v.csv", header.replace("bulk (GPa)", "group"), ["3m"] * 2,
                             separator))  # fmt: skip
    assert point_groups.labels["group"] == ["3m", "3m"]


@pytest.mark.parametrize("first", ["# by me, in 2020\n", "# a\n# name\n", "sep=,\n"])
def test_lines_before_the_header_are_left_out(tmp_path: Path, first: str):
    path = rows(tmp_path / "t.csv", "id,cif,band_gap", ["1", "5"])
    path.write_text(first + path.read_text())
    assert load(path).labels["band_gap"].tolist() == [1, 5]
    path = rows(tmp_path / "u.csv", "#id,cif,band_gap", ["1", "5"])
    assert load(path).labels["band_gap"].tolist() == [1, 5]


def test_a_symbol_that_is_no_element_is_named(tmp_path: Path):
    path = tmp_path / "x.extxyz"
    path.write_text(frame("Cs1 Cl"))
    with pytest.raises(DataError, match="'Cs1' is not a chemical element"):
        load(path)
    with pytest.raises(DataError, match=r"The file dropped\.extxyz cannot"):
        read_upload("dropped.extxyz", path.read_bytes())


def test_json_of_the_large_databases(tmp_path: Path):
    salt = Structure.from_spacegroup(
        "Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0] * 3, [0.5] * 3]
    )
    jarvis = {
        "lattice_mat": salt.lattice.matrix.tolist(),
        "coords": salt.frac_coords.tolist(),
        "elements": [s.specie.symbol for s in salt],
        "cartesian": False,
        "props": [],
    }
    cartesian = {**jarvis, "coords": salt.cart_coords.tolist(), "cartesian": True}
    alexandria = {
        "@module": "pymatgen.entries.computed_entries",
        "energy": -27.0,
        "entry_id": None,
        "composition": {"Na": 4.0, "Cl": 4.0},
        "data": {"mat_id": "agm1", "band_gap_ind": 5.0, "e_above_hull": 0.01},
        "structure": salt.as_dict(),
    }
    optimade = {
        "id": "x1",
        "type": "structures",
        "attributes": {
            "lattice_vectors": salt.lattice.matrix.tolist(),
            "dimension_types": [1, 1, 1],
            "cartesian_site_positions": salt.cart_coords.tolist(),
            "species_at_sites": jarvis["elements"],
            "species": [
                {"name": n, "chemical_symbols": [n], "concentration": [1.0]} for n in ("Na", "Cl")
            ],
        },
    }
    files = {
        "jarvis": ([{"jid": "JVASP-1", "atoms": jarvis, "ehull": 0.5, "gap": "na"}], "JVASP-1"),
        "jarvis_cartesian": ([{"jid": "JVASP-2", "atoms": cartesian, "ehull": 0.5}], "JVASP-2"),
        "alexandria": ({"entries": [alexandria]}, "agm1"),
        "mp": ({"data": [{"material_id": "mp-1", "structure": salt.as_dict(), "band_gap": 5.0}]},
               "mp-1"),
        "mp_cif": ({"response": [{"material_id": "mp-2", "cif": NACL, "band_gap": 5.0}]}, "mp-2"),
        "optimade": ({"data": [optimade]}, "x1"),
    }  # fmt: skip
    for name, (content, identifier) in files.items():
        path = tmp_path / f"{name}.json.gz"
        path.write_bytes(gzip.compress(json.dumps(content).encode()))
        dataset = load(path)
        assert list(dataset.ids) == [identifier] == read_crystals(path).ids, name
        assert dataset.batch([0]).formulas == ["NaCl"] and dataset.batch([0]).num_atoms[0] == 2
    assert load(tmp_path / "alexandria.json.gz").labels["e_above_hull"][0] == pytest.approx(0.01)
    assert load(tmp_path / "jarvis.json.gz").labels["e_above_hull"][0] == pytest.approx(0.5)
    (tmp_path / "other.json").write_text('[{"poscar": "x"}]')
    with pytest.raises(DataError, match="JARVIS"):
        load(tmp_path / "other.json")


def test_nested_values_of_json_are_labels_or_named(tmp_path: Path):
    """Summaries of the Materials Project, values with a unit, records beside a structure."""
    salt = Structure(Lattice.cubic(4.12), ["Cs1+", "Cl-"], [[0] * 3, [0.5] * 3]).as_dict()
    record = {
        "material_id": "mp-1", "structure": salt, "bulk_modulus": {"voigt": 17, "vrh": 16},
        "band_gap": {"value": 5100, "unit": "meV"}, "properties": {"hardness": [3.0]},
        "is_stable": False, "stress": [1, 2, 3], "kappa": "na", "composition": {"Cs": 1, "Cl": 1},
    }  # fmt: skip
    (tmp_path / "x.json").write_text(json.dumps([record]))
    dataset = load(tmp_path / "x.json")
    assert list(dataset.ids) == ["mp-1"]
    assert {k: round(float(v[0]), 5) for k, v in dataset.labels.items()} == {
        "band_gap": 5.1, "bulk_modulus_voigt": 17, "bulk_modulus_vrh": 16, "hardness": 3,
    }  # fmt: skip
    notes = " ".join(dataset.report.notes)
    assert "what is neither is not read: is_stable, stress." in notes
    assert "Columns without a value in x.json: kappa." in notes


def test_what_stands_beside_a_value_in_json_is_a_label_too(tmp_path: Path):
    salt = Structure(Lattice.cubic(4.12), ["Cs", "Cl"], [[0] * 3, [0.5] * 3]).as_dict()
    bulk = {"vrh": 3, "value": 4}
    gap = {"value": 5100, "unit": "meV", "error": 0.2}
    record = {"structure": salt, "bulk": bulk, "band_gap": gap}
    (tmp_path / "x.json").write_text(json.dumps([record]))
    labels = {k: round(float(v[0]), 5) for k, v in load(tmp_path / "x.json").labels.items()}
    assert labels == {"band_gap": 5.1, "band_gap_error": 0.2, "bulk": 4, "bulk_vrh": 3}


@pytest.mark.parametrize("text", ['{"a":' * 50_000, '{"a": ' + "1" * 5_000 + "}"])
def test_text_that_json_cannot_read_is_one_record(tmp_path: Path, text: str):
    salt = Structure(Lattice.cubic(4.12), ["Cs", "Cl"], [[0] * 3, [0.5] * 3]).as_dict()
    (tmp_path / "x.json").write_text(json.dumps([{"structure": text}, {"structure": salt}]))
    dataset = load(tmp_path / "x.json")
    assert dataset.formulas == ["CsCl"]
    assert "cut short or not json" in dataset.report.rejected[0].reason


def test_structures_as_text_and_tables_by_column_in_json(tmp_path: Path):
    salt = Structure(Lattice.cubic(4.12), ["Cs", "Cl"], [[0] * 3, [0.5] * 3])
    texts = {"a": salt.to(fmt="cif"), "b": salt.to(fmt="poscar"),
             "c": json.dumps(salt.as_dict())}  # fmt: skip
    columns = {"structure": texts, "k": dict.fromkeys(texts, 2.5)}
    (tmp_path / "x.json").write_text(json.dumps(columns))
    dataset = load(tmp_path / "x.json")
    assert list(dataset.ids) == list(texts) and dataset.labels["k"].tolist() == [2.5] * 3
    assert set(dataset.formulas) == {"CsCl"}
    for text in texts.values():
        assert CrystalBatch.from_structures([{"structure": text}]).formulas == ["CsCl"]


def test_values_beside_objects_are_labels_or_named(tmp_path: Path):
    atoms = Atoms("CsCl", cell=np.eye(3) * 4.12, scaled_positions=[[0] * 3, [0.5] * 3], pbc=True)
    atoms.info = {"k": np.array([2.5]), "deep": {"x": 3}, "metal": True, "stress": np.eye(3)}
    dataset = load([atoms])
    assert {k: v.tolist() for k, v in dataset.labels.items()} == {"deep_x": [3], "k": [2.5]}
    assert "not read: metal, stress" in " ".join(dataset.report.notes)
    with connect(tmp_path / "x.db") as rows:
        rows.write(atoms, k=2.5, data={"deep": {"x": 3}})
    assert set(load(tmp_path / "x.db").label_names) == {"deep_x", "k"}
    with connect(tmp_path / "y.db") as rows:
        rows.write(atoms, k=2.5, data={"x": {"__ase_objtype__": "unknownthing"}})
        rows.write(atoms, k=3.5, data={"deep": {"x": 3}})
    dataset = load(tmp_path / "y.db")
    assert dataset.labels["k"].tolist() == [2.5, 3.5]
    assert "cannot be decoded and is not read" in " ".join(dataset.report.notes)


def test_many_frames_are_read_in_time_that_grows_with_their_number(tmp_path: Path, monkeypatch):
    """The lines behind a frame are looked at, and not copied for each frame."""
    copied = 0

    class Lines(list):
        def __getitem__(self, key):
            nonlocal copied
            part = super().__getitem__(key)
            copied += len(part) if isinstance(key, slice) else 0
            return part

    class Text(str):
        def splitlines(self, keepends: bool = False):
            return Lines(super().splitlines(keepends))

    monkeypatch.setattr(ase_files, "read_text", lambda path: Text(path.read_text()))
    (tmp_path / "x.extxyz").write_text(frame("Cs Cl") * 50)
    assert len(ase_files.read_ase(tmp_path / "x.extxyz").entries) == 50
    assert copied == 50 * 4


def test_a_frame_with_a_wrong_number_of_atoms_is_no_crystal(tmp_path: Path):
    (tmp_path / "x.extxyz").write_text(frame("K Cl") + frame("Cs Cl").replace("2\n", "1\n", 1))
    dataset = load(tmp_path / "x.extxyz")
    assert dataset.formulas == ["KCl"]
    assert "is not the number of atoms" in dataset.report.rejected[0].reason


def test_a_cell_in_picometres_is_no_crystal(tmp_path: Path):
    (tmp_path / "x.cif").write_text(CSCL_TEXT.replace("4.12", "412"))
    with pytest.raises(DataError, match="Å³ per atom"):
        load(tmp_path / "x.cif")


@pytest.mark.parametrize(
    ("table", "values"),
    [
        ("id,k\na,1\n1,2\n1.5,9\n", [2, 1]),  # Excel leaves the zeros of 001 out
        ("k,CIF file\n1,a.cif\n2,001.cif\n", [2, 1]),
        ("formula,structure,k\nCsCl,a.cif,1\nNaCl,001.cif,2\n", [2, 1]),
        ("formula,k\nCsCl,1\nNaCl,2\n", None),  # 1 is a value and not the file 001
    ],
)
def test_the_column_that_names_the_files(tmp_path: Path, table: str, values: list | None):
    (tmp_path / "a.cif").write_text(CSCL_TEXT)
    (tmp_path / "001.cif").write_text(NACL)
    (tmp_path / "table.csv").write_text(table)
    dataset = load(tmp_path)
    assert list(dataset.ids) == ["001", "a"]
    if values is None:
        assert "None of the files has a row" in " ".join(dataset.report.notes)
    else:
        assert dataset.labels["k"].tolist() == values


def test_numbers_that_stand_for_none_are_far_from_the_rest(tmp_path: Path):
    path = rows(tmp_path / "t.csv", "material_id,cif,carriers", ["1e20", "3e20"])
    assert load(path).labels["carriers"].tolist() == pytest.approx([1e20, 3e20])
    values = ["1e18", "1e19", "1e20", "5e18"]
    path = rows(tmp_path / "s.csv", "material_id,cif,carriers", values)
    assert load(path).labels["carriers"].tolist() == pytest.approx([float(v) for v in values])
    path = rows(tmp_path / "v.csv", "material_id,cif,k", ["1e20", "3"])
    assert np.isnan(load(path).labels["k"]).tolist() == [True, False]
    path = rows(tmp_path / "u.csv", "material_id,cif,k", ["-999", "3"])
    assert np.isnan(load(path).labels["k"]).tolist() == [True, False]


def test_numbers_that_float32_does_not_hold_are_said(tmp_path: Path):
    values = ["1e39,1e-50,-123456.789", "2e39,2e-50,-123456.790", "2e38,3.5,-123456.791"]
    path = rows(tmp_path / "t.csv", "material_id,cif,rate,tiny,E", values)
    dataset = load(path)
    assert np.isnan(dataset.labels["rate"]).tolist() == [True, True, False]
    notes = [note for note in dataset.report.notes if "digits" in note or "float32" in note]
    assert notes == [
        "Label 'rate': 2 values beyond 3.4e+38, the largest number of float32, were left empty; "
        "choose another unit.",
        "Label 'tiny': 2 values below 1.4e-45, the smallest number of float32, became 0; "
        "choose another unit.",
        "Label 'E': its 3 different values became 1, since float32 keeps about 7 digits; give "
        "energies per atom, or the difference to a reference.",
    ]
    path = rows(tmp_path / "u.csv", "material_id,cif,k", ["1.123456789", "1.1234567891", "2.5"])
    assert not [note for note in load(path).report.notes if "float32" in note]


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({}, ""),
        ({"nsites": 8}, "states 8 sites and lists 2"),
        ({"chemical_formula_reduced": "ClCs"}, "states the formula ClCs"),
        ({"structure_features": ["assemblies"]}, "sites are not its atoms"),
    ],
)
def test_optimade_states_what_it_has(tmp_path: Path, changed: dict, reason: str):
    places = [[0, 0, 0], [2.82, 0, 0]]
    salt = {
        "lattice_vectors": (2.82 * (1 - np.eye(3))).tolist(),
        "cartesian_site_positions": places,
        "species_at_sites": ["Na", "Cl"],
        "nsites": 2,
        "chemical_formula_reduced": "ClNa",
        **changed,
    }
    entry = {"id": "a", "type": "structures", "attributes": salt}
    (tmp_path / "a.json").write_text(json.dumps({"data": [entry]}))
    check(tmp_path / "a.json", reason or SALT)


def test_a_word_for_false_is_false(tmp_path: Path):
    atoms = {
        "lattice_mat": (2.82 * (1 - np.eye(3))).tolist(),
        "coords": [[0, 0, 0], [0.5, 0.5, 0.5]],
        "elements": ["Na", "Cl"],
        "cartesian": "False",
    }
    (tmp_path / "a.json").write_text(json.dumps([{"jid": "JVASP-1", "atoms": atoms}]))
    check(tmp_path / "a.json", SALT)


def test_from_structures_takes_crystals_of_any_kind(tmp_path: Path):
    salt = Structure.from_spacegroup(
        "Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0] * 3, [0.5] * 3]
    )
    atoms = Atoms("CsCl", cell=np.eye(3) * 4.12, scaled_positions=[[0] * 3, [0.5] * 3], pbc=True)
    (tmp_path / "a.cif").write_text(NACL)
    batch = CrystalBatch.from_structures([salt, atoms, salt.as_dict(), tmp_path / "a.cif"])
    assert batch.formulas == ["NaCl", "CsCl", "NaCl", "NaCl"]
    assert batch.num_atoms.tolist() == [2, 2, 2, 2]
    assert load([atoms, salt]).batch([0, 1]).formulas == ["CsCl", "NaCl"]
    (tmp_path / "two.extxyz").write_text(frame("Cs Cl") * 2)
    with pytest.raises(DataError, match="holds 2 crystals"):
        CrystalBatch.from_structures([tmp_path / "two.extxyz"])


@pytest.mark.parametrize("wrong", [3, None, 2.5, "NaCl", b"NaCl", {"a": 1}, Path("x"), object()])
def test_wrong_types_of_from_structures_are_one_sentence(wrong: object):
    for crystals in (wrong, [wrong]):
        with pytest.raises(DataError) as caught:
            CrystalBatch.from_structures(crystals)  # type: ignore[arg-type]
        assert len(str(caught.value).splitlines()) == 1 and str(caught.value).endswith(".")
    structure = Structure(Lattice.cubic(3), ["Po"], [[0, 0, 0]])
    with pytest.raises(DataError, match="A list of crystals is wanted"):
        CrystalBatch.from_structures(structure)


@pytest.mark.slow
def test_what_unpacks_to_a_gigabyte_is_refused_early(tmp_path: Path):
    import time
    import zlib

    stream = zlib.compressobj(9, zlib.DEFLATED, 31)
    packed = b"".join(stream.compress(b"\n" * 2**20) for _ in range(1024)) + stream.flush()
    for name in ("bomb.cif.gz", "bomb.csv.gz", "bomb.json.gz", "bomb.extxyz"):
        (tmp_path / name).write_bytes(packed)
        started = time.process_time()
        with pytest.raises(DataError, match="larger than"):
            load(tmp_path / name)
        with pytest.raises(EvaluationError, match="larger than"):
            crystals = read_crystals(tmp_path / name)
            raise EvaluationError(str(crystals.errors[0]))
        assert time.process_time() - started < 10


@pytest.mark.parametrize("path", ["x" * 5000, "a/" * 3000, "a\0b", "~nobody_at_all/x"])
def test_a_path_that_cannot_be_is_one_sentence(path: str):
    for read in (load, read_crystals, lambda p: load("mp_20", data_dir=p)):
        with pytest.raises((DataError, EvaluationError)) as caught:
            read(path)
        assert len(str(caught.value)) < 500


def test_a_cif_of_hydrogen_alone_is_read(tmp_path: Path) -> None:
    crystal = Structure(Lattice.cubic(3.0), ["H", "H"], [[0, 0, 0], [0.5, 0.5, 0.3]])
    file = tmp_path / "h.cif"
    file.write_text(str(crystal.to(fmt="cif")))
    (read,) = CrystalBatch.from_structures([str(file)]).to_structures()
    assert read.composition == crystal.composition
