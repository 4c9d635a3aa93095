#include "tools/list_report.h"

#include <algorithm>
#include <utility>

#include "tools/command.h"
#include "tools/table.h"
#include "uploader/base/clock.h"

namespace backstay {
namespace {

Json TotalsToJson(const ObjectTotals& totals) {
  Json json;
  const auto add = [&](const char* kind, const ObjectTotal& total) {
    json[kind] = {{"objects", total.objects}, {"bytes", total.bytes}};
  };
  add("log", totals.log);
  add("pack", totals.pack);
  add("snapshot", totals.snapshot);
  add("other", totals.other);
  add("all", totals.all());
  return json;
}

void AddReach(const StatePoint* first, const StatePoint* last, Json* json) {
  (*json)["first_txid"] = first == nullptr ? Json() : Json(first->txid);
  (*json)["first_time"] = first == nullptr ? Json() : JsonTime(first->time_ms);
  (*json)["last_txid"] = last == nullptr ? Json() : Json(last->txid);
  (*json)["last_time"] = last == nullptr ? Json() : JsonTime(last->time_ms);
}

Json RangesToJson(const Inventory& inventory) {
  Json ranges = Json::array();
  for (const Range& each : inventory.ranges) {
    Json range{{"snapshot_number", each.from.next_log_number}};
    const StatePoint first = each.first();
    AddReach(each.last ? &first : nullptr, each.last ? &*each.last : nullptr, &range);
    range["log_objects"] = each.objects;
    range["log_bytes"] = each.bytes;
    range["damage"] = JsonText(each.damage);
    ranges.push_back(range);
  }
  return ranges;
}

Json SnapshotsToJson(const Inventory& inventory) {
  Json snapshots = Json::array();
  for (const SnapshotManifest& each : inventory.snapshots) {
    snapshots.push_back({{"snapshot_number", each.next_log_number},
                         {"txid", each.consistent_txid},
                         {"time", JsonTime(each.consistent_time_ms)},
                         {"page_size", each.page_size},
                         {"pages", each.pages},
                         {"objects", each.frame_bytes.size()},
                         {"bytes", SnapshotBytes(each)}});
  }
  return snapshots;
}

Json PacksToJson(const Inventory& inventory) {
  Json packs = Json::array();
  for (const PackSummary& each : inventory.packs) {
    Json pack{{"first_log_number", each.name.first}, {"last_log_number", each.name.last}};
    AddReach(each.first ? &*each.first : nullptr, each.last ? &*each.last : nullptr, &pack);
    pack["bytes"] = each.name.size;
    packs.push_back(pack);
  }
  return packs;
}

Json PointsToJson(const std::vector<StatePoint>& points) {
  Json json = Json::array();
  for (const StatePoint& each : points) {
    json.push_back({{"txid", each.txid}, {"time", JsonTime(each.time_ms)}});
  }
  return json;
}

std::string Span(uint64_t first, uint64_t last) {
  return std::to_string(first) + (first == last ? "" : " to " + std::to_string(last));
}

// What lies in the log, by its numbers.
std::string Contents(const Inventory& inventory) {
  using Row = std::vector<std::string>;
  std::vector<std::pair<uint64_t, Row>> rows;
  for (const SnapshotManifest& each : inventory.snapshots) {
    rows.push_back(
        {each.next_log_number,
         Row{"snapshot", std::to_string(each.next_log_number), std::to_string(each.consistent_txid),
             FormatRfc3339(each.consistent_time_ms), FormatBytes(SnapshotBytes(each)),
             std::to_string(each.pages) + " pages of " + std::to_string(each.page_size) +
                 " bytes"}});
  }
  for (const PackSummary& each : inventory.packs) {
    const bool known = each.first && each.last;
    rows.push_back({each.name.first, Row{"pack", Span(each.name.first, each.name.last),
                                         known ? Span(each.first->txid, each.last->txid) : "",
                                         known ? FormatRfc3339(each.last->time_ms) : "",
                                         FormatBytes(each.name.size), ""}});
  }
  for (const TakeoverMark& each : inventory.takeovers) {
    rows.push_back({each.number, Row{"takeover", std::to_string(each.number),
                                     std::to_string(each.at.txid), FormatRfc3339(each.at.time_ms),
                                     "", "epoch " + std::to_string(each.epoch)}});
  }
  for (const DamagedSnapshot& each : inventory.damaged_snapshots) {
    rows.push_back({each.number, Row{"snapshot", std::to_string(each.number), "", "", "",
                                     "DAMAGED: " + each.status.message()}});
  }
  for (const uint64_t number : inventory.unfinished_snapshots) {
    rows.push_back({number, Row{"snapshot", std::to_string(number), "", "", "",
                                "unfinished: under way, or its writer was stopped in it"}});
  }
  std::stable_sort(rows.begin(), rows.end(), [](auto& a, auto& b) { return a.first < b.first; });
  Table table({"WHAT", "LOG NUMBER", "TRANSACTION", "TIME", "SIZE", ""});
  for (auto& [number, row] : rows) table.Add(std::move(row));
  return table.Text();
}

std::string Totals(const ObjectTotals& totals) {
  Table table({"KIND", "OBJECTS", "SIZE"});
  const auto add = [&](const char* kind, const ObjectTotal& total) {
    table.Add({kind, std::to_string(total.objects), FormatBytes(total.bytes)});
  };
  add("log", totals.log);
  add("pack", totals.pack);
  add("snapshot", totals.snapshot);
  add("other", totals.other);
  add("all", totals.all());
  return table.Text();
}

std::string Both(const StatePoint& point, const Zone& zone) {
  return FormatRfc3339(point.time_ms) + " (" + FormatLocal(point.time_ms, zone) + ")";
}

std::string Ranges(const Inventory& inventory, const Zone& zone) {
  std::string text;
  for (const Range& each : inventory.ranges) {
    if (each.last) {
      text += "transactions " + std::to_string(each.first().txid) + " to " +
              std::to_string(each.last->txid) + " can be restored\n  from " +
              Both(each.first(), zone) + "\n  to   " + Both(*each.last, zone) + "\n";
    }
    if (!each.damage.empty()) text += "DAMAGED: " + each.damage + "\n";
  }
  return text.empty() ? "nothing can be restored\n" : text;
}

std::string Points(const Inventory& inventory, const Zone& zone) {
  if (inventory.points.empty()) return "no restore point in that time\n";
  std::string text;
  if (inventory.points_left_out) {
    text =
        "older ones are left out: ask for more with -limit, or narrow it with -since and -until\n";
  }
  Table table({"TRANSACTION", "TIME", "LOCAL TIME"});
  for (const StatePoint& each : inventory.points) {
    table.Add(
        {std::to_string(each.txid), FormatRfc3339(each.time_ms), FormatLocal(each.time_ms, zone)});
  }
  return text + table.Text();
}

std::string StateOf(const Inventory& inventory) {
  const Range* newest = inventory.newest();
  if (newest == nullptr) return inventory.damaged() ? "DAMAGED" : "nothing to restore yet";
  if (!inventory.damaged()) return "ok";
  const bool at_end = newest == &inventory.ranges.back() && newest->damage.empty();
  return at_end ? "ok at the end, DAMAGED before" : "DAMAGED";
}

std::string Head(const Listed& listed, const Zone& zone) {
  return listed.replica + ", database " + FormatDatabaseId(listed.inventory->identity.id) + "\n" +
         Ranges(*listed.inventory, zone);
}

}  // namespace

Json ToJson(const Listed& listed) {
  const bool read = listed.inventory.ok();
  Json json{{"db", JsonText(listed.database)},
            {"replica", listed.replica},
            {"error", read ? Json() : Json(listed.inventory.status().message())}};
  if (!read) return json;
  const Inventory& inventory = *listed.inventory;
  json["database_id"] = FormatDatabaseId(inventory.identity.id);
  json["damaged"] = inventory.damaged();
  const Range* newest = inventory.newest();
  const StatePoint first = newest == nullptr ? StatePoint() : newest->first();
  AddReach(newest == nullptr ? nullptr : &first, newest == nullptr ? nullptr : &*newest->last,
           &json);
  json["ranges"] = RangesToJson(inventory);
  json["snapshots"] = SnapshotsToJson(inventory);
  Json damaged = Json::array();
  for (const DamagedSnapshot& each : inventory.damaged_snapshots) {
    damaged.push_back({{"snapshot_number", each.number}, {"damage", each.status.message()}});
  }
  json["damaged_snapshots"] = damaged;
  json["unfinished_snapshots"] = inventory.unfinished_snapshots;
  json["packs"] = PacksToJson(inventory);
  Json takeovers = Json::array();
  for (const TakeoverMark& each : inventory.takeovers) {
    takeovers.push_back({{"log_number", each.number},
                         {"epoch", each.epoch},
                         {"txid", each.at.txid},
                         {"time", JsonTime(each.at.time_ms)}});
  }
  json["takeovers"] = takeovers;
  json["totals"] = TotalsToJson(inventory.totals);
  json["points"] = PointsToJson(inventory.points);
  json["points_left_out"] = inventory.points_left_out;
  return json;
}

std::string DescribeInventory(const Listed& listed, const Zone& zone) {
  const Inventory& inventory = *listed.inventory;
  const std::string text = Head(listed, zone);
  return text + "\n" + Contents(inventory) + "\n" + Totals(inventory.totals);
}

std::string DescribePoints(const Listed& listed, const Zone& zone) {
  return Head(listed, zone) + "\n" + Points(*listed.inventory, zone);
}

std::string DescribeInventories(const std::vector<Listed>& all) {
  Table table({"REPLICA", "TRANSACTIONS", "FROM", "TO", "OBJECTS", "SIZE", "STATE"});
  for (const Listed& each : all) {
    if (!each.inventory.ok()) {
      table.Add({each.replica, "", "", "", "", "", each.inventory.status().message()});
      continue;
    }
    const Inventory& inventory = *each.inventory;
    const Range* newest = inventory.newest();
    const ObjectTotal total = inventory.totals.all();
    const bool some = newest != nullptr;
    table.Add({each.replica, some ? Span(newest->first().txid, newest->last->txid) : "",
               some ? FormatRfc3339(newest->first().time_ms) : "",
               some ? FormatRfc3339(newest->last->time_ms) : "", std::to_string(total.objects),
               FormatBytes(total.bytes), StateOf(inventory)});
  }
  return table.Text();
}

}  // namespace backstay
