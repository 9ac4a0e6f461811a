#!/usr/bin/env bash
#
# Makes products.csv, orders.csv and decisions.csv: the same ones every time.
#
# What the check relies on: orders of a product that runs out are plain ones of
# one piece each, so that it does not matter which of them come too late.

set -euo pipefail
export LC_ALL=C
cd "$(dirname "$0")"

awk -v orders="${1:-600}" '
	# A small generator of our own: awks differ in rand().
	function random(n) { state = (state * 16807) % 2147483647; return int(state / 2048) % n }

	BEGIN {
		state = 2026
		split("Oak Walnut Steel Glass Copper", material, " ")
		split("lamp chair shelf mug tray clock vase stool mirror desk", thing, " ")
		split("69 89 119 9 19 49 29 59 99 1190", base, " ")
		split("Amara Bela Chen Dana Emil Fatou Goran Hana Igor Jana Kofi Lena Milo Nour Olga Pavel", customer, " ")
		split("Austria Belgium Czechia Denmark Estonia Finland Greece Hungary", country, " ")
		scarce[4] = scarce[19] = scarce[33] = 1

		for (p = 1; p <= 50; p++) {
			kind = (p - 1) % 10 + 1
			name[p] = material[int((p - 1) / 10) + 1] " " thing[kind]
			price[p] = base[kind] + random(20) + 0.9
			desk[p] = kind == 10
		}

		print "order_id,customer,sku,quantity,gateway,card,ship_to" > "orders.csv"
		print "order_id,decision,decided_by" > "decisions.csv"
		for (o = 1; o <= orders; o++) {
			p = random(50) + 1
			quantity = 1 + (scarce[p] || desk[p] ? 0 : random(4))
			gateway = "alpha"; card = "4242-" (1000 + random(9000)); ship_to = country[random(8) + 1]
			if (!scarce[p]) {
				if (random(100) < 12) gateway = "north"
				if (random(100) < 4) card = "4000-0002"
				if (random(100) < 1) ship_to = "Atlantis"
			}
			demand[p] += quantity
			printf "%d,%s,P-%02d,%d,%s,%s,%s\n", o, customer[random(16) + 1], p, quantity, gateway, card, ship_to > "orders.csv"
			if (desk[p]) {
				# Of eight desks five are approved, one is rejected, two are forgotten.
				fate = desks++ % 8
				if (fate < 6) printf "%d,%s,%s\n", o, fate == 3 ? "reject" : "approve", fate % 2 ? "Ines" : "Otto" > "decisions.csv"
			}
		}

		print "sku,name,price,stock" > "products.csv"
		for (p = 1; p <= 50; p++) {
			stock = scarce[p] ? int(demand[p] * 0.6) : demand[p] + random(30)
			printf "P-%02d,%s,%.2f,%d\n", p, name[p], price[p], stock > "products.csv"
		}
	}'
