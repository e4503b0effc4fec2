// SPDX-License-Identifier: MIT
//
// C++ containers and strings: what an ordinary program allocates.

#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <unordered_map>
#include <vector>

struct Record {
    std::string name;
    std::vector<int> values;
    std::shared_ptr<Record> next;
};

static std::vector<Record> make(int count) {
    std::vector<Record> records;

    for (int i = 0; i < count; i++) {
        Record record{"a record with a long name, number " + std::to_string(i), {}, nullptr};

        for (int k = 0; k < i % 17; k++)
            record.values.push_back(k);
        if (i % 5 == 0)
            record.next = std::make_shared<Record>(record);
        records.push_back(std::move(record));
    }
    return records;
}

static std::map<std::string, std::vector<const Record *>> group(const std::vector<Record> &records) {
    std::map<std::string, std::vector<const Record *>> groups;

    for (const auto &record : records)
        groups[record.name.substr(record.name.size() - 3)].push_back(&record);
    return groups;
}

static size_t words(const std::vector<Record> &records) {
    std::unordered_map<std::string, int> counts;

    for (const auto &record : records) {
        std::istringstream stream(record.name);
        std::string word;

        while (stream >> word)
            counts[word]++;
    }
    return counts.size();
}

int main(int argc, char **argv) {
    size_t total = 0;

    for (int i = argc > 1 ? atoi(argv[1]) : 1; i > 0; i--) {
        auto records = make(20000);

        total += group(records).size() + words(records);
    }
    printf("%zu\n", total);
    return 0;
}
