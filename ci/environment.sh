#!/usr/bin/env bash
# The virtual environment and the stamp that says of which interpreter and in which folder it was made: both are written
# into every program of the environment, so that it runs with no other.
#   ci/environment.sh stale VENV [PYTHON]         print a word where the stamp of VENV does not hold (any more)
#   ci/environment.sh make VENV PYTHON [given]    make VENV where it has to be; "given": by this PYTHON and no other
set -eu -o pipefail

ALLOWED="allowed is the name or path of a Python 3.11 or newer"
# -I -S: nothing of the user's is read, so that it takes milliseconds.
FACTS='import os, sys; print("%d.%d" % sys.version_info[:2], os.path.realpath(sys.executable))'

say() { echo "titan: $*" >&2; }
facts() { "$1" -I -S -c "$FACTS" 2> /dev/null; }
new_enough() { "$1" -I -S -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2> /dev/null; }

interrupted() {
	say "$venv: interrupted; the same command goes on"
	exit 130
}

action=$1 venv=$2 python=${3-}
[[ $venv == /* ]] && folder=$venv || folder=$PWD/$venv
stamp=$venv/bin/.environment

# Why the environment cannot be used; nothing where it can.
reason() {
	local there wanted
	there=$(facts "$venv/bin/python") || { echo "its interpreter does not run"; return; }
	new_enough "$venv/bin/python" || { echo "it has Python ${there%% *}"; return; }
	grep -qF "$folder/bin/python" <(head -n 2 "$venv/bin/pip" 2> /dev/null) || {
		[[ -e $venv/bin/pip ]] && echo "it was made in another folder" || echo "its making was interrupted"
		return
	}
	if [[ -n $1 ]]; then
		wanted=$(facts "$1") && [[ $wanted == "$there" ]] || echo "it has ${there#* }"
	fi
}

case $action in
stale)
	[[ -e $stamp ]] || exit 0
	there=$(facts "$venv/bin/python") || { echo stale; exit 0; }
	[[ "$there $folder" == "$(< "$stamp")" ]] || { echo stale; exit 0; }
	[[ -z $python || $(facts "$python") == "$there" ]] || echo stale
	;;
make)
	[[ -n $python ]] || { say "no Python 3.11 or newer is on the PATH; PYTHON=… names one"; exit 1; }
	version=$(facts "$python") || { say "PYTHON=$python: does not run; $ALLOWED"; exit 1; }
	new_enough "$python" || { say "PYTHON=$python: is Python ${version%% *}; $ALLOWED"; exit 1; }
	[[ ${4-} == given ]] && given=$python || given=
	why=
	if [[ -e $venv ]]; then
		why=$(reason "$given")
		[[ -z $why ]] && ! "$venv/bin/python" -m pip --version > /dev/null 2>&1 && why="its pip does not run"
	fi
	if [[ ! -e $venv || -n $why ]]; then
		"$python" -c 'import ensurepip, venv' 2> /dev/null || {
			say "$python comes without venv and pip; install them (Debian, Ubuntu: apt-get install python3-venv)"
			exit 1
		}
		say "making $venv with $python${why:+ anew: $why}"
		trap interrupted INT
		# By the interpreter itself: PYTHON may be in the environment that is cleared.
		output=$("${version#* }" -m venv --clear "$venv" 2>&1) || { say "$output"; exit 1; }
	fi
	echo "$(facts "$venv/bin/python") $folder" > "$stamp"
	# As old as the environment: what was installed into it since is newer.
	touch -r "$venv/pyvenv.cfg" "$stamp"
	;;
esac
