// SPDX-License-Identifier: Apache-2.0
// The layer over the file: what each change does, what is refused, and what a file that changed
// leaves of it.
#include "controlplane/config/overrides.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace penstock {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const BackendKey kA{"web", "h1-a"};
const BackendKey kB{"web", "h1-b"};
const BackendKey kNew{"web", "h3"};

BackendConfig backend(const std::string& name, const char* endpoint) {
  BackendConfig backend;
  backend.name = name;
  backend.endpoint = Endpoint::parse(endpoint).value();
  return backend;
}

// The file: service web at 203.0.113.10 with h1-a of weight 1 and h1-b of weight 2.
Config file_config() {
  Config file;
  ServiceConfig& web = file.services.emplace_back();
  web.name = "web";
  web.vip = Endpoint::parse("203.0.113.10:80").value();
  web.backends = {backend("h1-a", "10.0.0.1:3000"), backend("h1-b", "10.0.0.1:3001")};
  web.backends[1].weight = 2;
  return file;
}

class Layer : public ::testing::Test {
 protected:
  void take(const Result<Overrides>& changed) {
    ASSERT_TRUE(changed) << changed.error().message;
    layer_ = *changed;
  }
  void add(const BackendConfig& backend) { take(add_backend(file_, layer_, "web", backend)); }
  std::vector<BackendConfig> backends() {
    return with_overrides(file_, layer_).services[0].backends;
  }
  std::vector<std::string> said() { return describe(file_, layer_); }

  Config file_ = file_config();
  Overrides layer_;
};

void expect_refused(const Result<Overrides>& result, ErrorKind kind,
                    const ::testing::Matcher<std::string>& message) {
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().kind, kind);
  EXPECT_THAT(result.error().message, message);
}

TEST_F(Layer, WithoutChangesIsTheFile) {
  EXPECT_EQ(with_overrides(file_, layer_), file_);
  EXPECT_THAT(said(), IsEmpty());
}

TEST_F(Layer, DrainsAndUndrains) {
  take(set_drain(file_, layer_, kA, true));
  EXPECT_TRUE(backends()[0].drain);
  EXPECT_THAT(said(), ElementsAre("web/h1-a: draining"));
  take(set_drain(file_, layer_, kA, false));
  EXPECT_THAT(layer_, IsEmpty());
}

TEST_F(Layer, UndrainsWhatTheFileDrains) {
  file_.services[0].backends[0].drain = true;
  take(set_drain(file_, layer_, kA, false));
  EXPECT_FALSE(backends()[0].drain);
  EXPECT_THAT(said(), ElementsAre("web/h1-a: not draining"));
}

TEST_F(Layer, SetsAWeightAndForgetsItWhenItIsTheFiles) {
  take(set_weight(file_, layer_, kB, 5));
  EXPECT_EQ(backends()[1].weight, 5u);
  EXPECT_THAT(said(), ElementsAre("web/h1-b: weight 5 (file: 2)"));
  take(set_weight(file_, layer_, kB, 2));
  EXPECT_THAT(layer_, IsEmpty());
}

TEST_F(Layer, KeepsOtherChangesOfABackendWhenOneIsMade) {
  take(set_weight(file_, layer_, kB, 5));
  take(set_drain(file_, layer_, kB, true));
  EXPECT_THAT(said(), ElementsAre("web/h1-b: draining", "web/h1-b: weight 5 (file: 2)"));
}

TEST_F(Layer, AddsABackendBehindThoseOfTheFile) {
  BackendConfig added = backend("h3", "10.0.0.3:3000");
  added.weight = 7;
  added.drain = true;
  add(added);
  ASSERT_EQ(backends().size(), 3u);
  EXPECT_EQ(backends()[2], added);
  EXPECT_THAT(said(),
              ElementsAre("web/h3: added, 10.0.0.3:3000", "web/h3: draining", "web/h3: weight 7"));
}

TEST_F(Layer, ChangesAndRemovesWhatItAdded) {
  add(backend("h3", "10.0.0.3:3000"));
  take(set_weight(file_, layer_, kNew, 4));
  EXPECT_EQ(backends()[2].weight, 4u);
  take(remove_backend(file_, layer_, kNew));
  EXPECT_THAT(layer_, IsEmpty());
}

TEST_F(Layer, RemovesABackendOfTheFileAndForgetsItsOtherChanges) {
  take(set_weight(file_, layer_, kA, 5));
  take(remove_backend(file_, layer_, kA));
  EXPECT_THAT(backends(), ElementsAre(file_.services[0].backends[1]));
  EXPECT_THAT(said(), ElementsAre("web/h1-a: removed"));
}

TEST_F(Layer, AddingARemovedBackendAgainIsTheFile) {
  take(remove_backend(file_, layer_, kA));
  add(backend("h1-a", "10.0.0.1:3000"));
  EXPECT_THAT(layer_, IsEmpty());
}

TEST_F(Layer, AddingARemovedBackendWithAnotherWeightKeepsTheWeight) {
  take(remove_backend(file_, layer_, kB));
  add(backend("h1-b", "10.0.0.1:3001"));
  EXPECT_THAT(said(), ElementsAre("web/h1-b: weight 1 (file: 2)"));
}

// What is refused.

TEST_F(Layer, NamesTheBackendsThereAreForAnUnknownOne) {
  expect_refused(set_drain(file_, layer_, {"web", "h9-z"}, true), ErrorKind::kNotFound,
                 AllOf(HasSubstr("h9-z"), HasSubstr("h1-a"), HasSubstr("h1-b")));
  expect_refused(remove_backend(file_, layer_, {"web", "h1-aa"}), ErrorKind::kNotFound,
                 HasSubstr("did you mean \"h1-a\"?"));
  expect_refused(set_weight(file_, layer_, {"wbe", "h1-a"}, 1), ErrorKind::kNotFound,
                 HasSubstr("did you mean \"web\"?"));
}

TEST_F(Layer, RefusesToChangeWhatWasRemoved) {
  take(remove_backend(file_, layer_, kA));
  expect_refused(set_drain(file_, layer_, kA, true), ErrorKind::kNotFound, HasSubstr("h1-a"));
}

TEST_F(Layer, RefusesAWeightOutOfItsRange) {
  expect_refused(set_weight(file_, layer_, kA, 1001), ErrorKind::kInvalid,
                 HasSubstr("from 0 to 1000"));
  BackendConfig heavy = backend("h3", "10.0.0.3:3000");
  heavy.weight = 1001;
  expect_refused(add_backend(file_, layer_, "web", heavy), ErrorKind::kInvalid,
                 HasSubstr("from 0 to 1000"));
}

TEST_F(Layer, RefusesANameOrAddressThatIsTaken) {
  expect_refused(add_backend(file_, layer_, "web", backend("h1-a", "10.0.0.3:3000")),
                 ErrorKind::kConflict, HasSubstr("h1-a"));
  expect_refused(add_backend(file_, layer_, "web", backend("h3", "10.0.0.1:3000")),
                 ErrorKind::kConflict, HasSubstr("\"h1-a\" at 10.0.0.1:3000"));
  take(remove_backend(file_, layer_, kA));
  expect_refused(add_backend(file_, layer_, "web", backend("h1-a", "10.0.0.3:3000")),
                 ErrorKind::kConflict, HasSubstr("choose another name"));
}

TEST_F(Layer, RefusesBackendsThatTheFileCouldNotHave) {
  expect_refused(add_backend(file_, layer_, "web", backend("h3", "[2001:db8::3]:3000")),
                 ErrorKind::kInvalid, HasSubstr("IPv6"));
  expect_refused(add_backend(file_, layer_, "web", backend("h3", "203.0.113.10:3000")),
                 ErrorKind::kInvalid, HasSubstr("the address of service \"web\""));
  expect_refused(add_backend(file_, layer_, "web", backend("h3", "127.0.0.1:3000")),
                 ErrorKind::kInvalid, HasSubstr("other machines can reach"));
  expect_refused(add_backend(file_, layer_, "web", backend("h/3", "10.0.0.3:3000")),
                 ErrorKind::kInvalid, HasSubstr("without \"/\""));
}

// What a changed file leaves of it.

TEST_F(Layer, AServiceThatLeftTheFileTakesItsChangesAlong) {
  take(set_weight(file_, layer_, kA, 5));
  file_.services[0].name = "other";
  EXPECT_THAT(prune(file_, layer_), IsEmpty());
  EXPECT_EQ(with_overrides(file_, layer_), file_);
}

TEST_F(Layer, ABackendThatLeftTheFileTakesItsChangesAlong) {
  take(set_weight(file_, layer_, kA, 5));
  take(remove_backend(file_, layer_, kB));
  file_.services[0].backends = {backend("h4", "10.0.0.4:3000")};
  EXPECT_THAT(prune(file_, layer_), IsEmpty());
}

TEST_F(Layer, AnAddedBackendThatTheFileAdoptsIsTheFiles) {
  add(backend("h3", "10.0.0.3:3000"));
  file_.services[0].backends.push_back(backend("h3", "10.0.0.3:3000"));
  file_.services[0].backends.back().weight = 9;
  EXPECT_THAT(prune(file_, layer_), IsEmpty());
  EXPECT_EQ(backends().back().weight, 9u);
}

TEST_F(Layer, AnAddedBackendWhoseAddressTheFileTakesIsLeftOut) {
  add(backend("h3", "10.0.0.3:3000"));
  file_.services[0].backends.push_back(backend("host3", "10.0.0.3:3000"));
  EXPECT_EQ(with_overrides(file_, layer_), file_);
}

TEST_F(Layer, AnAddedBackendOfAFamilyThatTheServiceLeftIsLeftOut) {
  add(backend("h3", "10.0.0.3:3000"));
  file_.services[0].vip = Endpoint::parse("[2001:db8::10]:80").value();
  file_.services[0].backends.clear();
  EXPECT_EQ(with_overrides(file_, layer_), file_);
}

TEST_F(Layer, ARemovedBackendLeavesItsAddressToAnother) {
  take(remove_backend(file_, layer_, kA));
  add(backend("h3", "10.0.0.1:3000"));
  EXPECT_THAT(said(), ElementsAre("web/h1-a: removed", "web/h3: added, 10.0.0.1:3000"));
}

// The file in the state directory.

class OverridesFile : public Layer {
 protected:
  OverridesFile() {
    std::string pattern = testing::TempDir() + "penstock-overrides-XXXXXX";
    directory_ = mkdtemp(pattern.data());
  }
  ~OverridesFile() override { std::filesystem::remove_all(directory_); }

  std::string file() const { return directory_ + "/overrides.json"; }
  void write(const std::string& text) { std::ofstream(file()) << text; }

  std::string directory_;
};

TEST_F(OverridesFile, BringsBackWhatWasSaved) {
  take(set_drain(file_, layer_, kA, true));
  take(remove_backend(file_, layer_, kB));
  BackendConfig added = backend("[2001:db8::1]:80 \"quoted\"", "10.0.0.3:3000");
  added.weight = 0;
  add(added);
  ASSERT_TRUE(save_overrides(directory_, layer_));
  const auto loaded = load_overrides(directory_);
  ASSERT_TRUE(loaded);
  EXPECT_EQ(*loaded, layer_);
}

TEST_F(OverridesFile, LeavesNothingBesideItself) {
  ASSERT_TRUE(save_overrides(directory_, layer_));
  for (const auto& entry : std::filesystem::directory_iterator(directory_)) {
    EXPECT_EQ(entry.path().string(), file());
  }
}

TEST_F(OverridesFile, MakesItsDirectory) {
  ASSERT_TRUE(save_overrides(directory_ + "/a/b", layer_));
  EXPECT_TRUE(std::filesystem::exists(directory_ + "/a/b/overrides.json"));
}

TEST_F(OverridesFile, ThatIsNotThereMeansNoChanges) {
  const auto loaded = load_overrides(directory_);
  ASSERT_TRUE(loaded);
  EXPECT_THAT(*loaded, IsEmpty());
}

TEST_F(OverridesFile, ThatIsDamagedIsNamedWithAWayOut) {
  const std::string web = R"({"service": "web", "backend": "h", )";
  for (const std::string& text :
       {std::string(), std::string("["), std::string("{}"), std::string("[1]"),
        std::string(R"([{"service": "web"}])"), "[" + web + R"("weight": -1}])",
        "[" + web + R"("weight": 1001}])", "[" + web + R"("drain": "yes"}])",
        "[" + web + R"("added": "10.0.0.1"}])", "[" + web + R"("removed": 1}])"}) {
    write(text);
    const auto loaded = load_overrides(directory_);
    ASSERT_FALSE(loaded) << text;
    EXPECT_EQ(loaded.error().kind, ErrorKind::kInvalid);
    EXPECT_THAT(loaded.error().message, AllOf(HasSubstr(file()), HasSubstr("delete it")));
  }
}

TEST_F(OverridesFile, ThatCannotBeWrittenIsNamed) {
  std::ofstream(directory_ + "/plain") << "x";
  const auto saved = save_overrides(directory_ + "/plain", layer_);
  ASSERT_FALSE(saved);
  EXPECT_EQ(saved.error().kind, ErrorKind::kSystem);
  EXPECT_THAT(saved.error().message, HasSubstr(directory_ + "/plain"));
}

}  // namespace
}  // namespace penstock
